"""Scores and distances: arrays in, numbers out."""
