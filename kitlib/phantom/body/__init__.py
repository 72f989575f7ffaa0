"""A person's anatomy in three dimensions, in patient millimetres (LPS) from the middle of L3.

`person`, `vertebrae`, `spine` and `pathology` draw who it is; `openings` how far canal, recesses and foramina
are open and what severity that is; `grid` is the canvas and `tissues` what is painted on it, by `bones`,
`arches`, `canal` (with `section`), `foramina` and `torso` (with `muscles` and `abdomen`). `anatomy` puts all
of it together and measures it.
"""
