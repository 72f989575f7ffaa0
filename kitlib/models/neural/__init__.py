"""Code shared by neural models: padded studies, attention over slices, and the base class."""
