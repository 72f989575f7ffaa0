"""Studies with a known truth: a spine in three dimensions, imaged as by a scanner, labelled by what it is.

`labels` draws how narrow each cell is and what readers write, `oracle` says how well any model could do;
`body` is the anatomy and `scan` images it; `study` puts one study together; `annotators`, `dicom`, `archive`
and `truth` write and read it in the competition's layout; `statistics` compares its labels with real ones.

What still gives a phantom away: on T2 marrow, discs and the bones behind the canal are brighter beside
fluid than in most patients, and images are lit more evenly; discs keep more water, and worn ones are less
irregular; spinous processes are a regular ladder of one shape; bowel and organs are soft blobs without
inner structure; the fat in muscles is a web of noise; normal foramina look alike and their fat has no
veins; slices through the medial half of a facet show its cleft as a dark band; Schmorl nodes end sharply;
there are no free fragments, cysts or scars; axial slices that graze the disc show dark, straight-sided
corners; chemical shift is wide at the coarse matrix of `demo`.
"""
