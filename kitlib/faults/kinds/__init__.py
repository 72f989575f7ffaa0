"""The kinds of damage: a module per kind, a function per damage; importing this package registers all."""

from kitlib.faults.kinds import files, folders, pixels, streams, tables, tags

__all__ = ["files", "folders", "pixels", "streams", "tables", "tags"]
