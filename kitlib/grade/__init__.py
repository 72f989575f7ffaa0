"""Grading places: a network that reads views of them, trained on phantoms and fine-tuned on your labels."""
