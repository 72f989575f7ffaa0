"""`python -m kitlib`."""

import sys

from kitlib.cli import main

sys.exit(main())
