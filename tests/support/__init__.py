"""What the tests share: servers, clients, clocks. No test stands here, and no test module imports another."""

from pathlib import Path

#: The checkout, or the unpacked sdist, that the tests are in.
ROOT = Path(__file__).parent.parent.parent
