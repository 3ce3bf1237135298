"""`epm doctor`: looks at everything a gateway needs, changes nothing, and says what to do."""
