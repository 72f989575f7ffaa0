"""Grading places: a network that reads views of them, trained on phantoms and, if you like, on your labels."""
