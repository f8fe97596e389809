"""The report on the study."""
