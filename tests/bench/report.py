"""``python -m tests.bench.report``: tables and pictures of ops/benchmarks.md, from the JSON beside.

In the file, what stands between ``<!-- NAME -->`` and ``<!-- /NAME -->`` is made here.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.bench.picture import picture
from tests.bench.records import FOLDER, Goal, Record, Row, number

PAGE = FOLDER.parent / "benchmarks.md"


def main() -> None:
    """Bring the page and its pictures up to date."""
    for path, text in rendered().items():
        path.write_text(text)


def rendered() -> dict[Path, str]:
    """What each file has to say."""
    found = {path.stem: Record.load(path) for path in sorted(FOLDER.glob("*.json"))}
    page = PAGE.read_text()
    files = {}
    for name, record in found.items():
        block = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
        text = section(record)
        page, times = block.subn(lambda _, text=text: text, page)
        if times != 1:
            raise ValueError(f"{PAGE.name} has {times} places for {name}; wanted is one")
        files[FOLDER / f"{name}.svg"] = picture(record)
    return {**files, PAGE: page}


def section(record: Record) -> str:
    """Picture, table, goals and conditions of one measurement, in Markdown."""
    conditions = ", ".join(f"{name} {value}" for name, value in record.conditions.items())
    parts = [
        f"![{record.title}](benchmarks/{record.name}.svg)",
        table(record),
        *([goals(record)] if record.goals else []),
        *record.notes,
        f"<sub>{conditions}. All turns: [JSON](benchmarks/{record.name}.json).</sub>",
    ]
    return "\n" + "\n\n".join(parts) + "\n\n"


def table(record: Record) -> str:
    """A row for each subject: medians, with the range of the turns where there are several."""
    settings = any(row.settings for row in record.rows)
    heads = ["subject", *record.measures]
    heads += ["ratio"] * bool(record.ratio_to) + ["how it is durable"] * settings
    lines = [heads, ["---"] + ["---:"] * len(record.measures)]
    lines[1] += ["---:"] * bool(record.ratio_to) + ["---"] * settings
    for row in record.rows:
        cells = [row.subject, *(_figure(row, measure) for measure in record.measures)]
        if record.ratio_to:
            ratio = row.median(record.measures[0]) / record.median(record.ratio_to)
            cells.append(number(ratio))
        lines.append([*cells, *[row.settings] * settings])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def goals(record: Record) -> str:
    """The verdicts, in a table."""
    lines = ["| goal | wanted | found | |", "| --- | --- | ---: | --- |"]
    lines += [
        f"| {goal.text} | {goal.wanted} | {number(goal.value)} {goal.unit} | **{goal.verdict}** |"
        for goal in record.goals
    ]
    return "\n".join(lines)


def show(record: Record) -> None:
    """Print it for a terminal."""
    for row in record.rows:
        figures = "   ".join(f"{_figure(row, name)} {name}" for name in row.figures)
        print(f"{row.subject:>28}: {figures}")  # noqa: T201
    for goal in record.goals:
        print(f"{goal.verdict:>28}: {_sentence(goal)}")  # noqa: T201


def _sentence(goal: Goal) -> str:
    return f"{goal.text}: {number(goal.value)} {goal.unit} (goal: {goal.wanted})"


def _figure(row: Row, measure: str) -> str:
    turns = row.figures[measure]
    middle = number(row.median(measure))
    return middle if len(turns) == 1 else f"{middle} ({number(min(turns))}–{number(max(turns))})"


if __name__ == "__main__":
    main()
