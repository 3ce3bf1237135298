"""The online store: raw facts and monthly histories of entities, in Redis and in an in-process replica."""
