"""The releases that the project can read: an adapter for each."""
