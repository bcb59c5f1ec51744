# What the pictures have in common.
#
# Here: their colours in the light scheme and in the dark one, their letters, and how the two files of a
# picture are written. Not here: what is drawn (charts, demo, and docs/images/flow-light.svg by hand).

from __future__ import annotations

from pathlib import Path
from typing import Final

IMAGES: Final = Path(__file__).parents[1] / "docs" / "images"
WIDTH: Final = 600  # of each picture, in its own units; shown at 350 to 800 pixels
FONTS: Final = 'system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif'

# Every picture is drawn in light colours; these take their places in its dark file.
DARK: Final = {
    "#ffffff": "#0d1117",  # the page
    "#f4f6f8": "#1a2029",  # a box on it
    "#e3f0ff": "#10233d",  # a box that matters
    "#1f2328": "#e6edf3",  # text
    "#57606a": "#a3adb8",  # small text
    "#6e7781": "#8b949e",  # arrows, and what is compared with us
    "#8c959f": "#6a737d",  # edges
    "#d8dee4": "#2d343d",  # lines in the background
    "#0b62c4": "#58a6ff",  # ours
}


def in_dark(light: str) -> str:
    """The same picture for a dark page."""
    for colour, dark in DARK.items():
        light = light.replace(colour, dark)
    return light


def write(name: str, light: str, folder: Path) -> None:
    """Write a picture for light pages and for dark ones."""
    for scheme, text in (("light", light), ("dark", in_dark(light))):
        path = folder / f"{name}-{scheme}.svg"
        path.write_text(text, encoding="utf-8")
        print(f"drawn: {path}")
