"""Versions in a repository: put there, listed by digest, checked again."""
