"""Tensors: where and how precisely they are computed, from which random draws."""
