"""Localise levels: find landmarks in any study, transfer them between planes, and audit annotations."""
