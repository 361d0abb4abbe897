"""Draw architecture.svg from the import table of architecture.md: ``python docs/explanation/draw_architecture.py``.

A package stands above all packages that it imports. An arrow is left out where a longer path says the same.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
ROW = re.compile(r"^\| `([\w.]+)` \| ([^|]*) \|$", re.MULTILINE)
WIDTH, BOX, GAP, STEP, MARGIN = 640, 30, 14, 74, 20
LAYERS = {"engine": "engine", "verbs": "verbs", "frames": "frames", "api": "shared", "pricing": "shared"}
STYLE = """
  text { font: 13px ui-monospace, monospace; fill: #1f2328; text-anchor: middle }
  rect { stroke: #59636e; rx: 5 }
  .engine { fill: #ddf4ff } .verbs { fill: #dafbe1 } .frames { fill: #fff8c5 } .shared { fill: #f6f8fa }
  path { stroke: #59636e; fill: none; opacity: .45 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } rect, path { stroke: #9198a1 }
    .engine { fill: #0c2d6b } .verbs { fill: #033a16 } .frames { fill: #4b2900 } .shared { fill: #212830 }
  }
"""


def table(text: str) -> dict[str, set[str]]:
    """Return the import table of the page: package -> packages that it may import."""
    return {package: set(re.findall(r"`([\w.]+)`", names)) for package, names in ROW.findall(text)}


def levels(graph: dict[str, set[str]]) -> dict[str, int]:
    """Return the length of the longest import path below each package."""

    @cache
    def level(package: str) -> int:
        return 1 + max(map(level, graph[package]), default=-1)

    return {package: level(package) for package in graph}


def reduced(graph: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Return the arrows that no longer path replaces."""

    @cache
    def below(package: str) -> frozenset[str]:
        return frozenset(graph[package]).union(*map(below, graph[package]))

    return [(a, b) for a in graph for b in sorted(graph[a]) if not any(b in below(c) for c in graph[a])]


def picture(graph: dict[str, set[str]]) -> str:
    """Return the SVG, readable on light and on dark pages."""
    by_level: dict[int, list[str]] = {}
    for package, level in levels(graph).items():
        by_level.setdefault(level, []).append(package)
    top = max(by_level)
    height = 2 * MARGIN + STEP * top + BOX
    places: dict[str, tuple[float, float, float]] = {}
    for level, packages in by_level.items():
        widths = [9 * len(package) + 18 for package in packages]
        x = (WIDTH - sum(widths) - GAP * (len(packages) - 1)) / 2
        for package, width in zip(packages, widths, strict=True):
            places[package] = (x, MARGIN + STEP * (top - level), width)
            x += width + GAP
    lines = [_arrow(places[a], places[b]) for a, b in reduced(graph)]
    boxes = [_box(package, *place) for package, place in places.items()]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Packages and imports">'
    return "\n".join([head, f"<style>{STYLE}</style>", *lines, *boxes, "</svg>", ""])


def _arrow(start: tuple[float, float, float], end: tuple[float, float, float]) -> str:
    (x1, y1, w1), (x2, y2, w2) = start, end
    a, b, c, d = x1 + w1 / 2, y1 + BOX, x2 + w2 / 2, y2
    return f'<path d="M{a:.0f} {b:.0f} C{a:.0f} {b + 30:.0f} {c:.0f} {d - 30:.0f} {c:.0f} {d:.0f}"/>'


def _box(package: str, x: float, y: float, width: float) -> str:
    kind = LAYERS.get(package.partition(".")[0], "shared")
    rect = f'<rect class="{kind}" x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{BOX}"/>'
    return f'{rect}<text x="{x + width / 2:.0f}" y="{y + 20:.0f}">{package}</text>'


if __name__ == "__main__":
    page = (HERE / "architecture.md").read_text(encoding="utf-8")
    (HERE / "architecture.svg").write_text(picture(table(page)), encoding="utf-8")
