"""Models: from a study's data to the probabilities of its 25 cells, and the registry that names them."""
