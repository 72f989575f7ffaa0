"""`vit`: the second published project's transformer on patches of slices, trained end to end."""
