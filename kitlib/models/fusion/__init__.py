"""`fusion`: the published architectures 1.1, 1.2 and 2, and the cascade."""
