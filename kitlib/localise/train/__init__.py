"""Training the localiser on phantoms, and measuring it there."""
