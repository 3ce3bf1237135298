"""Generated messages and stubs (`make proto`), and the descriptor pool of the foreign ones."""
