"""What neural models share: padded studies, attention over slices, losses, the loop and the base class."""
