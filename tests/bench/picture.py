"""A small SVG: one bar a subject, as long as the median, with a whisker from least to most.

It has no colour of the page's: what is written takes the light or the dark scheme of the reader.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

from tests.bench.records import Record, Row, number

WIDTH, LABEL, VALUE = 760, 250, 90
BAR, STEP, TOP = 16, 26, 44
OURS = "tts"  # our subjects' names begin so
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2328}.h{font-weight:600}"
    ".o{fill:#0969da}.p{fill:#8c959f}.w{stroke:#1f2328;stroke-width:1.5}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.o{fill:#4493f8}.p{fill:#6e7681}"
    ".w{stroke:#e6edf3}}"
)


def picture(record: Record) -> str:
    """The whole file."""
    measure = record.measures[0]
    longest = max(max(row.figures[measure]) for row in record.rows) or 1.0
    height = TOP + STEP * len(record.rows)
    heading = escape(f"{record.title}: {measure}")
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{heading}">',
        f"<style>{STYLE}</style>",
        f'<text class="h" x="4" y="22">{heading}</text>',
    ]
    scale = (WIDTH - LABEL - VALUE) / longest
    for number_, row in enumerate(record.rows):
        lines += _bar(row, measure, TOP + STEP * number_, scale)
    return "\n".join([*lines, "</svg>", ""])


def _bar(row: Row, measure: str, top: int, scale: float) -> list[str]:
    turns, middle = row.figures[measure], row.median(measure)
    kind = "o" if row.subject.startswith(OURS) else "p"
    low, high = (LABEL + bound * scale for bound in (min(turns), max(turns)))
    size = f'width="{middle * scale:.1f}" height="{BAR}"'
    line, centre = top + BAR - 3, top + BAR / 2
    return [
        f'<text x="{LABEL - 8}" y="{line}" text-anchor="end">{escape(row.subject)}</text>',
        f'<rect class="{kind}" x="{LABEL}" y="{top}" {size} rx="2"/>',
        *([f'<path class="w" d="M{low:.1f} {centre}H{high:.1f}"/>'] if len(turns) > 1 else []),
        f'<text x="{high + 6:.1f}" y="{line}">{number(middle)}</text>',
    ]
