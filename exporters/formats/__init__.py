"""A trained model as files, and the gate that holds every file to the trained model."""
