"""Bytes to rows and predictions to bytes, one module a protocol. A protocol knows no backend and no listener."""
