# `python -m thebase_auth` does what the command `thebase-auth` does.
from ._cli import main

raise SystemExit(main())
