"""The kinds of data faults: a module a kind, a function a fault; importing this room registers them all."""

from kitlib.faults.kinds import files, folders, pixels, streams, tables, tags

__all__ = ["files", "folders", "pixels", "streams", "tables", "tags"]
