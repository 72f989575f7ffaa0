"""`vit`: the second published project's transformer on patches of slices, end to end."""
