"""Stages of study/dvc.yaml."""
