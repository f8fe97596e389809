"""View classifiers: networks, arms, training, prediction."""
