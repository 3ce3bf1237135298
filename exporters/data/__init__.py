"""What models are trained on: tables, what their columns mean, and the generator of synthetic ones."""
