"""Models: from the data of a study to the probabilities of its 25 cells; a registry names them."""
