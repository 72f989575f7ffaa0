"""Fault injection: damaged phantom studies, randomly mutated files, and killed runs."""
