"""`fusion`: the first seed's architectures 1.1, 1.2 and 2, and the cascade."""
