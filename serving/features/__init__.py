"""From raw rows to the model's feature matrix, by the program in its contract."""
