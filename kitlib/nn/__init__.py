"""Tools to train networks: the loop, augmentation, losses, attention and projections."""
