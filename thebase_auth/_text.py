# Text that is safe to print.

from __future__ import annotations

import json


def printable(text: str, kept: str = "") -> str:
    """Escape, as in JSON, the characters that could control a terminal, except for those *kept*."""
    return "".join(c if c.isprintable() or c in kept else json.dumps(c)[1:-1] for c in text)
