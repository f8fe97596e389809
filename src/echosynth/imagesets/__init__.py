"""Image sets: images.zip and manifest.csv, and what reads them."""
