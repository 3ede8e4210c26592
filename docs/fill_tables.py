"""Write the tables of rewards, presets and expectations into the docs, from the code.

    python docs/fill_tables.py

Each table is between two comments, `<!-- NAME -->` and `<!-- /NAME -->`. `tests/test_docs.py` fails
if a table is out of date.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from napari_samstar.core.rewards.expectations import EXPECTED
from napari_samstar.core.rewards.goal import OBJECTIVES
from napari_samstar.core.rewards.presets import PRESETS
from napari_samstar.core.rewards.registry import REWARDS

DOCS = Path(__file__).parent


def formulas() -> str:
    """Return the docstring of each reward, with its label as heading."""
    parts = []
    for r in REWARDS.values():
        lines = (inspect.getdoc(r.compute) or "").splitlines()
        quoted = "\n".join(f"> {line}".rstrip() for line in lines)
        parts.append(f"### {r.label}: `{r.name}`\n\n{quoted}\n")
    return "\n".join(parts)


def rewards() -> str:
    """Return the table of rewards."""
    rows = [
        f"| {r.label} | `{r.name}` | {OBJECTIVES[r.objective]} | {r.weight:g} | {r.help} |"
        for r in REWARDS.values()
    ]
    return _table("| reward | name | goal | weight | in plain words |", rows)


def presets() -> str:
    """Return the table of presets."""
    rows = []
    for preset in PRESETS.values():
        weights = ", ".join(f"*{REWARDS[n].label}* {w:g}" for n, w in preset.weights.items())
        rows.append(f"| {preset.label} | `{preset.name}` | {preset.help} | {weights} |")
    return _table("| preset | name | what it is for | weights |", rows)


def expectations() -> str:
    """Return the table of expectations."""
    rows = [
        f"| {about.label} | `{name}` | {about.kind} | {about.help} |"
        for name, about in EXPECTED.items()
    ]
    return _table("| expectation | name | kind | meaning |", rows)


def _table(head: str, rows: list[str]) -> str:
    rule = re.sub(r"[^|]+", "---", head)
    return "\n".join([head, rule, *rows]) + "\n"


TABLES = {
    "methods.md": {"rewards": formulas},
    "user_guide.md": {"rewards": rewards, "presets": presets, "expectations": expectations},
}


def filled(name: str) -> str:
    """Return the text of a page with up-to-date tables."""
    text = (DOCS / name).read_text(encoding="utf-8")
    for mark, make in TABLES[name].items():
        start, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
        before, _, rest = text.partition(start)
        _, found, after = rest.partition(end)
        if not found:
            raise SystemExit(f"{name} lacks {start} ... {end}")
        text = f"{before}{start}\n\n{make()}\n{end}{after}"
    return text


if __name__ == "__main__":
    for page in TABLES:
        (DOCS / page).write_text(filled(page), encoding="utf-8")
