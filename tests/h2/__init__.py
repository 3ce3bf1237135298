"""The compiled listener."""
