# `python -m thebase_auth` does what the command `thebase-auth` does.
# Here: two lines, and no more; arguments and exit codes are in _cli.
from ._cli import main

raise SystemExit(main())
