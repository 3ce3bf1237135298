"""What is broken, late, cut off or hostile: clear errors, and nothing is lost."""
