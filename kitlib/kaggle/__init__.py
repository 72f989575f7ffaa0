"""At home on Kaggle: what is uploaded and what is wrong with it, its rehearsal, the ledger of submissions."""
