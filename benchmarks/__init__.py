"""What thebase_auth costs, measured beside what people use today: ``python -m benchmarks``."""

import logging


def expect_many_auth_objects() -> None:
    """Leave out the warning of several auth objects: here they stand for processes, or are compared."""
    logging.getLogger("thebase_auth").addFilter(
        lambda record: not record.getMessage().startswith("several TheBaseAuth objects")
    )
