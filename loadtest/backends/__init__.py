"""Backends, batching and the prediction cache, measured side by side."""
