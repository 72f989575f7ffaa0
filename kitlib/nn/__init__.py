"""What every network of the kit is trained with: the loop, augmentation, losses, attention and projections."""
