"""Reading MRI: a slice safely, a series as stacks in patient mm, a study, and the ledger of faults."""
