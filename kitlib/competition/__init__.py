"""The competition: its tables, where its data lies, its metric, priors, and writing a submission."""
