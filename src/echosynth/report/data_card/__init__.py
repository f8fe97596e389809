"""The data card."""
