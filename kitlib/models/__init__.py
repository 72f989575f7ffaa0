"""Models: from the features of a study to the probabilities of its 25 cells; a registry names them."""
