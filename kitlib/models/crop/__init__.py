"""`crops`: the network that grades a study from views of its places, and reports what it measured."""
