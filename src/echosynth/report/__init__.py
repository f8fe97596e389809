"""Tables and figures of the study in one self-contained page."""
