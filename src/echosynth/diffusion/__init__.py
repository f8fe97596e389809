"""Diffusion: process, network, training, sampling."""
