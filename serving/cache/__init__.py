"""Predictions that were computed before, by row: in this process and in Redis."""
