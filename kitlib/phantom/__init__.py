"""Synthetic studies with a known truth: a 3D spine, imaged by a simulated scanner and labelled by readers.

`labels` draws how narrow each cell is and what readers write, and `oracle` computes the best possible score;
`body` is the anatomy and `scan` images it; `study` puts one study together; `annotators`, `dicom`, `archive`
and `truth` write and read it in the competition's layout; `statistics` compares its labels with real ones.

Known differences from real studies: on T2, marrow, discs and the bones behind the canal are brighter relative
to fluid than in most patients, and images are more evenly lit; discs keep more water, and worn ones are less
irregular; spinous processes are a regular ladder of one shape; bowel and organs are soft blobs without
inner structure; the fat in muscles is a web of noise; normal foramina look alike and their fat has no
veins; slices through the medial half of a facet show its cleft as a dark band; Schmorl nodes end sharply;
there are no free fragments, cysts or scars; axial slices that graze the disc show dark, straight-sided
corners; chemical shift is wide at the coarse matrix of `demo`.
"""
