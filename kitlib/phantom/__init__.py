"""Studies with a known truth: a spine in three dimensions, imaged as by a scanner, labelled by what it is.

`labels` draws how narrow each cell is and what readers write, `oracle` says how well any model could do;
`body` is the anatomy and `scan` images it; `study` puts one study together; `annotators`, `dicom`, `archive`
and `truth` write and read it in the competition's layout; `statistics` compares its labels with real ones.

What still gives a phantom away: bowel and organs are flat blobs with clean outlines; fat in muscles is a web
of noise with hard edges, and skin and fascia are painted once a slice; discs have a sharper nucleus than worn
human ones; normal foramina look alike; every spinous process has the same shape; Modic changes, Schmorl nodes
and haemangiomas end sharply; there are no free fragments, synovial cysts, Tarlov cysts or scars; chemical
shift is wide at the coarse matrix of `demo`.
"""
