"""Training a backbone on phantoms."""
