"""Localise levels: find landmarks in any study, and transfer them from plane to plane."""
