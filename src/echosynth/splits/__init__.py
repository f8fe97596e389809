"""Splits by group, nested subsets, duplicates."""
