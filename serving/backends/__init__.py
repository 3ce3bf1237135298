"""What executes an exported graph."""
