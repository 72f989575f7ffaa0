"""Kaggle: build what is uploaded, lint it, rehearse it locally, and keep a ledger of submissions."""
