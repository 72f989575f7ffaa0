"""How an anatomy becomes images.

`prescription` and `plans` choose slices and series; `signal`, `coil` and `kspace` are the physics; `scanner`
acquires series. `domain_randomised` draws single slices far beyond the clinical range, with `contrast`.
"""
