# `python -m thebase_auth`. Here: nothing but the call of main (_cli), which is also the entry point.
import sys

from ._cli import main

sys.exit(main())
