"""What metrics cost: the gateway that counts and times each call beside the one that does not."""
