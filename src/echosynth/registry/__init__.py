"""Versions of the final classifier: gates, promotion, rollback, decisions."""
