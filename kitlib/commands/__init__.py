"""What `python -m kitlib` can do: a file for each family of commands; rooms are imported when called."""

import argparse
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What `add_subparsers` returns: each command adds its own parser to it."""
