"""The questions of the thesis that the main pipeline does not ask, and those that it left open."""
