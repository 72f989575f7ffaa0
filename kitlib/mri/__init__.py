"""Read MRI safely: slices, series as stacks in patient millimetres, studies, and the ledger of faults."""
