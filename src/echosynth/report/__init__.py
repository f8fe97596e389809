"""The pages: the study's, the data card, what changed, the explorations."""
