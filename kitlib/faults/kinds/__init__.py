"""The kinds of data faults: a module a kind, a function a fault; importing this room registers them all."""

from kitlib.faults.kinds import files, folders, pixels, streams, tables, tags

KINDS = tuple(module.__name__.rpartition(".")[2] for module in (tables, folders, files, tags, pixels, streams))
