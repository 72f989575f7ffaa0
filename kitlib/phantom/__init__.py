"""Studies with a known truth: a spine in three dimensions, imaged as by a scanner, labelled by what it is.

`labels` draws severities and `openings` says what they leave open; `spine`, `bones`, `canal`, `foramina` and
`torso` are the anatomy; `signal` and `scanner` image it; `study` puts one study together; `dicom` and
`archive` write it in the competition's layout.

What still gives a phantom away: abdomen and bowel are mottle and ellipsoids; muscles have smooth edges;
facets are rods, not curved joints; there is no chemical shift, flow, motion or wrap, and no listhesis,
fracture, Schmorl node, Modic change, transitional vertebra or metal.
"""
