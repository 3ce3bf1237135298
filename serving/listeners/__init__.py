"""Where calls arrive."""
