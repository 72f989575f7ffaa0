"""`vit`: the second seed's transformer on patches of slices, end to end."""
