"""Imaging of an anatomy.

`prescription` and `plans` choose slices and series; `signal`, `coil` and `kspace` simulate the physics;
`scanner` acquires series. `domain_randomised` draws single slices far outside the clinical range, with
`contrast`.
"""
