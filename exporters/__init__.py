"""From data to a published model version: tables, training, exports, the gate, the repository."""
