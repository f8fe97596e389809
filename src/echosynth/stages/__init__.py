"""DVC stages, one short module each."""
