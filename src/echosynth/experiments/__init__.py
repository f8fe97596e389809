"""Many experiments from one file: grids and searches, each combination one DVC experiment."""
