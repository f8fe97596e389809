"""What the stages of explore/dvc.yaml share: trainings of a cell, real and sampled sets, the yardstick."""
