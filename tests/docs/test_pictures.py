"""The pictures of the documentation can be read, and are what their scripts draw."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest

from pictures import IMAGES, charts
from pictures._look import DARK, in_dark
from tests.support import ROOT

PICTURES = sorted(IMAGES.glob("*.svg"))
LIGHT = [path for path in PICTURES if path.stem.endswith("-light")]
SVG = "{http://www.w3.org/2000/svg}"
PHONE = 390  # pixels


class Text(NamedTuple):
    """A text of a picture, as far as its place can be told without a browser."""

    text: str
    size: float
    left: float
    right: float


def texts(picture: ET.Element) -> Iterator[Text]:
    """All texts; where nothing says how wide one is, a letter is taken to be half as wide as high."""
    style = "".join(element.text or "" for element in picture.iter(f"{SVG}style"))
    sizes = dict(re.findall(r"(\.?\w+)\{font(?:-size)?:([\d.]+)px", style))
    anchors = dict(re.findall(r"(\.?\w+)\{[^}]*text-anchor:(\w+)", style))
    edges = {text: float(inner.get("x", 0)) for inner in picture.iter(f"{SVG}svg") for text in inner.iter()}

    def rule(rules: dict[str, str], element: ET.Element, default: str) -> str:
        names = ["text", *(f".{name}" for name in element.get("class", "").split())]
        return [default, *(rules[name] for name in names if name in rules)][-1]

    for text in picture.iter(f"{SVG}text"):
        said = "".join(text.itertext())
        size = float(rule(sizes, text, ""))
        width = float(text.get("textLength", len(said) * size / 2))
        before = {"start": 0, "middle": width / 2, "end": width}[rule(anchors, text, "start")]
        left = edges[text] + float(text.get("x", "")) - before
        yield Text(said, min(float(rule(sizes, part, "")) for part in text.iter()), left, left + width)


def test_each_picture_is_there() -> None:
    assert [path.stem for path in PICTURES] == [
        *("call-cost-dark", "call-cost-light", "demo", "flow-dark", "flow-light", "herd-dark", "herd-light")
    ]


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_a_picture_is_small_and_can_be_read_on_a_phone(path: Path) -> None:
    picture = ET.parse(path).getroot()
    width = float(picture.get("width", ""))
    found = list(texts(picture))

    assert path.stat().st_size < 30_000
    assert len(found) > 10
    assert min(text.size for text in found) * PHONE / width >= 9
    assert [text for text in found if text.left < 10 or text.right > width - 10] == []


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_a_picture_loads_nothing_and_runs_nothing(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.findall(r"<script|<image|<foreignObject|@import|href=|src=|url\((?!#)|\bon\w+=", text) == []


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: path.stem)
def test_a_dark_picture_is_the_light_one_in_other_colours(path: Path) -> None:
    light = path.read_text("utf-8")
    dark = path.with_name(path.name.replace("-light", "-dark")).read_text("utf-8")

    assert dark == in_dark(light)
    assert set(re.findall(r"#[0-9a-f]{3,}\b", light)) <= DARK.keys()


def test_the_charts_are_drawn_from_the_figures_that_were_measured_last(tmp_path: Path) -> None:
    (tmp_path / "figures.json").write_bytes((IMAGES / "figures.json").read_bytes())
    charts.draw(tmp_path)

    drawn = list(tmp_path.glob("*.svg"))
    assert len(drawn) == 4
    assert {path.name: path.read_text("utf-8") for path in drawn} == {
        path.name: (IMAGES / path.name).read_text("utf-8") for path in drawn
    }


def test_new_figures_of_one_benchmark_leave_those_of_the_other(tmp_path: Path) -> None:
    for name, measured in (("herd", "on Monday"), ("call-cost", "on Tuesday"), ("call-cost", "on Friday")):
        charts.keep(name, {"measured": measured, "panels": {"requests": [1, 2]}}, tmp_path)

    kept = (tmp_path / "figures.json").read_text("utf-8")
    assert sorted(re.findall(r"on \w+", kept)) == ["on Friday", "on Monday"]


def recorded(program: str) -> ET.Element:
    """The recording of a Python program."""
    pytest.importorskip("pty", reason="programs are recorded where there are pseudo terminals")
    from pictures.recording import record

    return ET.fromstring(record([sys.executable, "-c", program], "try it", columns=30, lines=3))


def shown(picture: ET.Element) -> dict[str, ET.Element]:
    """Whatever a line of the terminal shows at any time."""
    [screen] = picture.findall(f"{SVG}svg")
    return {" | ".join(text.text or "" for text in row): row for row in screen[0]}


def test_a_recording_ends_as_its_terminal_does() -> None:
    rows = shown(recorded(r"print('\x1b[1;31mno\x1b[0m  <but>\n10 %', end='\n\x1b[Aשלום')"))

    assert [row for row, group in rows.items() if group.get("style") == "opacity:1"] == [
        *("$ | try it", "no | <but>", "שלום")
    ]
    assert rows["10 %"].get("style") == "opacity:0"
    no, but = rows["no | <but>"]
    assert (no.get("style"), no.get("class")) == ("fill:#ff7b72", "bold")
    assert (but.get("style"), but.get("class")) == (None, None)
    assert float(but.get("textLength", "")) / 5 == float(no.get("textLength", "")) / 2
    assert rows["שלום"][0].get("textLength") is None


def test_each_text_of_a_recording_has_its_columns_and_its_colour() -> None:
    rows = shown(recorded(r"print('\x1b[95mone \x1b[38;5;200mtwo\x1b[0m three    4\n\x1b[2J\x1b[Hnext')"))
    texts = [*rows["one | two | three | 4"]]
    [column] = {float(text.get("textLength", "")) / len(text.text or "") for text in texts}

    assert [round(float(text.get("x", "")) / column) for text in texts] == [0, 4, 8, 17]
    assert [text.get("style") for text in texts] == ["fill:#d2a8ff", "fill:#ff00d7", None, None]


def test_a_recording_moves_from_one_line_to_the_next_unless_reduced_motion_is_wanted() -> None:
    picture = recorded("for number in range(5): print(f'line {number}')")
    style = picture.findtext(f"{SVG}style", "")
    at_rest, moving = style.split("@media (prefers-reduced-motion:no-preference){")
    keyframes = dict(re.findall(r"@keyframes (\w+)\{(.*?\})\}", moving))
    rows = shown(picture)
    starts = [
        re.findall(r"([\d.]+)%\{opacity:1\}", keyframes[rows[f"line {n}"].get("class", "")]) for n in range(5)
    ]

    assert "animation" not in at_rest
    assert len({start for [start] in starts}) == 5
    assert [float(start) for [start] in starts] == sorted(float(start) for [start] in starts)
    [screen] = picture.findall(f"{SVG}svg")
    assert screen[0].get("style") == f"transform:translateY(-{screen.get('height')}px)"
    assert keyframes[screen[0].get("class", "")].count("translateY") == 4


def test_a_progress_bar_is_shown_in_some_of_its_states() -> None:
    rows = shown(recorded("for n in range(200): print(f'step {n}', end='\\r', flush=True)"))
    states = [row for row in rows if row.startswith("step")]

    assert 2 < len(states) < 200
    assert states[-1] == "step 199"


def test_a_program_that_fails_is_not_recorded() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        recorded("exit(1)")


def test_a_picture_that_is_not_known_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pictures", "nonsense"], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 2
