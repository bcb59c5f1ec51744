"""Draw the pictures of the pages: `python docs/pictures.py`.

* call-cost-light.svg and call-cost-dark.svg, from a table in figures.md. The same table gives the same bytes.
* demo.svg, from what `thebase-auth demo` prints.

They need, in a checkout:  pip install -e . --group pictures
"""

from __future__ import annotations

import io
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parent
IMAGES = DOCS / "images"
OURS = "thebase_auth"
PANELS = ("requests", "httpx.Client")
# On top of matplotlib's own styles, the background of GitHub's dark pages.
STYLES: dict[str, list[Any]] = {
    "light": ["default"],
    "dark": ["dark_background", {"figure.facecolor": "#0d1117", "axes.facecolor": "#0d1117"}],
}
COMMON = {
    "font.size": 11,
    "svg.fonttype": "none",  # text that can be searched and read aloud
    "svg.hashsalt": "the same bytes each time",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.h_pad": 0.12,
    "figure.constrained_layout.w_pad": 0.12,
}


def draw_call_cost() -> None:
    """Draw bars of the microseconds per call."""
    table = (DOCS / "figures.md").read_text("utf-8").partition("## call-cost")[2].partition("\n## ")[0]
    lines = re.findall(r"^\|(.+)\|$", table, re.MULTILINE)
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    for style, sheets in STYLES.items():
        with plt.style.context([*sheets, COMMON]):
            figure, panels = plt.subplots(2, figsize=(6.5, 6), height_ratios=[8, 5], layout="constrained")
            for axes, library in zip(panels, PANELS, strict=True):
                costs = sorted((float(row[2]), row[1]) for row in rows if row[0] == library)
                names = [name for _, name in costs]
                colours = ["C0" if name == OURS else "gray" for name in names]
                bars = axes.barh(names, [cost for cost, _ in costs], color=colours)
                axes.bar_label(bars, fmt="%.1f", padding=4)
                axes.invert_yaxis()
                axes.set_title(f"{library}: microseconds to sign a call", loc="left")
            figure.savefig(IMAGES / f"call-cost-{style}.svg", metadata={"Date": None})
            plt.close(figure)


def draw_demo() -> None:
    """Draw what the demo prints."""
    program = Path(sysconfig.get_path("scripts"), "thebase-auth")
    printed = subprocess.run([program, "demo"], check=True, capture_output=True, text=True).stdout
    console = Console(record=True, width=62, file=io.StringIO())
    text = Text(f"$ thebase-auth demo\n{printed.rstrip()}")
    text.highlight_regex(r"(?m)^(\$|ok)", "bold green")
    console.print(text)
    picture = console.export_svg(title="thebase-auth demo")
    # A picture in a page can load no fonts.
    picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    (IMAGES / "demo.svg").write_text(picture, "utf-8")


if __name__ == "__main__":
    draw_call_cost()
    draw_demo()
