"""The benchmarks, and the soak: ``python -m benchmarks --help``, ``python -m benchmarks.soak --help``."""

import logging

# Auth objects stand for processes here, or are made to be compared. In a program they would be a mistake.
logging.getLogger("thebase_auth").addFilter(
    lambda record: not record.getMessage().startswith("several TheBaseAuth objects")
)
