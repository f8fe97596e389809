"""From the records of a release to an image set."""
