"""View classifiers: networks, arms, training."""
