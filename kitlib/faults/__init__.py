"""Faults on purpose: phantoms damaged in every way known, files spoilt at random, runs killed."""
