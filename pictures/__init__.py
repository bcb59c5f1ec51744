# The pictures of the documentation: `python -m pictures`.
#
# Here: what draws them. Not here: the pictures (docs/images), and the measuring (benchmarks).

from ._look import IMAGES

__all__ = ["IMAGES"]
