"""Predictions by id beside predictions by columns, and a bulk load of facts: `python -m loadtest.store`."""
