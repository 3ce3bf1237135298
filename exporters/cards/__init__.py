"""The card of a version: comparisons, groups, pictures, and the words around them."""
