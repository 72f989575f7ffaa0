"""Profiles, the six notebook steps and their papermill runner, the grid of experiments, and sweeps."""
