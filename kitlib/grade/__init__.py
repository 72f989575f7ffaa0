"""Grading places: a network that reads views of them, trained on phantoms and tuned on labels of your own."""
