"""`epm score`: the rows of a file answered in this process, piece by piece, on from where it was interrupted."""
