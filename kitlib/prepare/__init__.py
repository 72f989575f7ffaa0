"""Prepare stacks for models: grey scales, cached volumes, crops and views, tables without missing values."""
