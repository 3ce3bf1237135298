"""The parts of a card that judge the model: each reads what was said of held-out rows and gives Markdown."""
