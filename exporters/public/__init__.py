"""Public tables that can be trained on, each with its mapping. The files themselves are not part of the project."""
