"""The page of all benchmarks, made of their files and of nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.bench.found import Found, Row, Target, load_found
from research.files import replace
from research.report.pages import markdown_page, markdown_table

QUICK = "A quick run: its numbers are no results."


def write_page(folder: Path, order: Sequence[str]) -> Path:
    """Writes FOLDER/README.md from the benchmarks' files that lie there."""
    return replace(folder / "README.md", page_of(folder, order).encode())


def page_of(folder: Path, order: Sequence[str]) -> str:
    """The page's text.

    Args:
      folder: of the files.
      order: names of benchmarks; those without a file are left out.
    """
    there = [folder / f"{name}.json" for name in order]
    found = [load_found(path) for path in there if path.is_file()]
    return markdown_page(
        "Benchmarks",
        "Written by `python -m experiments bench` from the files beside it. Medians "
        "over repeats, the least and the largest in brackets; sides of one case took "
        "turns. Compilation is apart from what is timed.",
        *(block for one in found for block in section(one)),
    )


def section(found: Found) -> list[str]:
    """A benchmark's blocks: what was done, where, what was seen, what was asked."""
    names = list(dict.fromkeys(name for row in found.rows for name in row.more))
    rows = [_cells(row, names) for row in found.rows]
    blocks = [f"## {found.benchmark}", found.about, _where(found.setting)]
    blocks.append(markdown_table(["case", "side", "median", *names, "note"], rows))
    if found.targets:
        asked = [_asked(target) for target in found.targets]
        blocks.append(markdown_table(["asked of", "asked", "seen", ""], asked))
    return blocks


def _where(setting: dict[str, Any]) -> str:
    machine, packages = setting["machine"], setting["packages"]
    parts = [
        f"{machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory GiB']} GiB, device {setting['device']}",
        ", ".join(f"{name} {number}" for name, number in packages.items()),
    ]
    if work := setting.get("work"):
        parts.append(
            f"{work['data']}: {work['users']:,} users, {work['items']:,} items, "
            f"{work['examples']:,} examples"
        )
    end = f" {QUICK}" if setting["quick"] else ""
    return f"{'; '.join(parts)}; {setting['date']}.{end}"


def _cells(row: Row, names: Sequence[str]) -> list[str]:
    seen = ""
    if row.median is not None:
        seen = f"{_number(row.median)} {row.unit}"
        if len(row.values) > 1:
            low, high = min(row.values), max(row.values)
            seen += f" [{_number(low)}, {_number(high)}]"
    more = [_number(row.more[n]) if n in row.more else "" for n in names]
    return [row.case, row.side, seen, *more, row.note]


def _asked(target: Target) -> list[str]:
    sign = "at least" if target.at_least else "at most"
    seen = "not measured" if target.seen is None else _number(target.seen)
    met = {True: "met", False: "not met", None: ""}[target.met]
    return [target.what, f"{sign} {target.asked:g} {target.unit}", seen, met]


def _number(value: float) -> str:
    """Three digits and no power of ten.

    >>> [_number(x) for x in (0.01234, 1.2345, 123.4, 12345.6)]
    ['0.0123', '1.23', '123', '12,346']
    """
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.0e}"
