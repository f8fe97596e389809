"""From a file to pixels: probe, decode, prepare."""
