"""A person's anatomy in three dimensions, in patient millimetres (LPS) from the middle of L3.

`person`, `vertebrae`, `spine` and `pathology` draw the person; `openings` the size of canal, recesses and
foramina and their severity; `grid` is the canvas and `tissues` are painted on it by `bones`, `arches`,
`canal` (with `section`), `foramina` and `torso` (with `muscles` and `abdomen`). `anatomy` combines and
measures all of it.
"""
