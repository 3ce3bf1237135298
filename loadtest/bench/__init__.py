"""This gateway beside other servers of the same model, each in an environment of its own."""
