"""Train a backbone on phantoms."""
