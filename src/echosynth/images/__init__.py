"""From files to image sets, splits and subsets."""
