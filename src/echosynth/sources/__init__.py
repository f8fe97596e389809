"""The releases that the project can read: one adapter each, and the phantom that writes the same layouts."""
