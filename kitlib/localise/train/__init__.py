"""Train the localiser on phantoms, and evaluate it there."""
