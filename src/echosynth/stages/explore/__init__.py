"""The stages of explore/dvc.yaml: what only informs choices (tables 5.1 and 5.2, figures 5.1 to 5.3, solvers)."""
