"""What networks are trained with: the loop, augmentation, losses, attention and projections."""
