"""The connection to a Redis, whatever it is for."""
