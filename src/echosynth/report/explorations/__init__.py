"""The pages of the explorations."""
