"""Random requests, what they are to be answered, and what listeners answered."""
