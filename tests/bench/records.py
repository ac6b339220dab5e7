"""What a measurement found: a figure for each turn, goals with their verdicts, and where it was."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

DIGITS = 3  # behind the point, in the files
FOLDER = Path(__file__).parents[2] / "ops" / "benchmarks"


@dataclass(frozen=True)
class Row:
    """One subject; ``figures`` has for each measure one figure a turn.

    ``settings`` says what makes it durable, and with which versions it was measured.
    """

    subject: str
    figures: dict[str, list[float]]
    settings: str = ""

    def median(self, measure: str) -> float:
        """The one in the middle, of all turns."""
        return statistics.median(self.figures[measure])


@dataclass(frozen=True)
class Goal:
    """``value`` was wanted to be at least (or at most) ``limit``."""

    text: str
    value: float
    limit: float
    at_least: bool = True
    unit: str = "×"

    @property
    def passed(self) -> bool:
        """The verdict."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def verdict(self) -> str:
        """PASS or FAIL."""
        return "PASS" if self.passed else "FAIL"

    @property
    def wanted(self) -> str:
        """The limit in words."""
        return f"at {'least' if self.at_least else 'most'} {number(self.limit)} {self.unit}"


@dataclass(frozen=True)
class Record:
    """All that one measurement found; the first measure of its rows is the one in the picture.

    ``ratio_to`` is the subject that the others are compared with in the table. ``conditions`` tells
    the machine and the moment.
    """

    name: str
    title: str
    rows: Sequence[Row]
    goals: Sequence[Goal] = ()
    ratio_to: str = ""
    notes: Sequence[str] = ()
    conditions: dict[str, str] = field(default_factory=dict)

    @property
    def measures(self) -> list[str]:
        """What was measured, in the order of the table's columns."""
        return list(self.rows[0].figures)

    def median(self, subject: str, measure: str = "") -> float:
        """The median of one subject; of the first measure if none is named."""
        (row,) = (row for row in self.rows if row.subject == subject)
        return row.median(measure or self.measures[0])

    def save(self, folder: Path = FOLDER) -> None:
        """Write the JSON that tables and pictures are made of."""
        path = folder / f"{self.name}.json"
        found = asdict(self)
        for row in found["rows"]:
            row["figures"] = {
                measure: [round(turn, DIGITS) for turn in turns]
                for measure, turns in row["figures"].items()
            }
        path.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Record:
        """What :meth:`save` has written."""
        found: dict[str, Any] = json.loads(path.read_text())
        rows = [Row(**row) for row in found.pop("rows")]
        goals = [Goal(**goal) for goal in found.pop("goals")]
        return cls(rows=rows, goals=goals, **found)


def number(value: float) -> str:
    """As many digits as tell something: 12,345 or 123 or 12.3 or 1.23."""
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"
