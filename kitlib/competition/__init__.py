"""The competition: its folder and tables, its metric, priors, and writing a submission."""
