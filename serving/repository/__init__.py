"""Versions on disk become served models: found, verified, warmed, swapped."""
