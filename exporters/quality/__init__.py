"""How good a model is, for whom, and the card that says so."""
