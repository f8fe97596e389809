"""Generators that cost nothing: what a diffusion model has to beat."""
