"""The page of the thesis: its tables and figures beside ours, in its order."""
