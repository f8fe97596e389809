"""The only place that talks to MLflow about runs."""
