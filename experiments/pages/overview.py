"""The list of all results under an output folder: README.md beside the tables.

It has a table for each topic, with a row per file of records: the question, the
verdicts of its contrasts, and what made it. Every ``report`` writes it anew.
"""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

from experiments.grid import Grid
from experiments.lookup import experiments, find_by_file
from experiments.output.folders import RECORDS_VERSION
from experiments.study import Study
from experiments.topics import TOPICS, by_topic
from research.config import Config
from research.files import replace
from research.report.pages import EMPTY, markdown_page, markdown_table
from research.report.predictions import statements
from research.report.records import read_header

HEADS = (
    *("results", "data set", "question", "verdicts", "prediction", "version"),
    *("commit", "made on", "minutes"),
)
ABOUT = (
    "What was run: one row per data set and grid or study "
    "([terms](../docs/glossary.md#harness-and-statistics)), by topic; the first of a "
    "topic is the one to begin with. The first column leads to the tables, the fourth "
    "to the contrasts."
)
NOTES = (
    "- **data set**: users, items, clicks and splits of each are in the "
    "[glossary](../docs/glossary.md#data-sets); `simulated` stands for synthetic data "
    "sets, `outside` for the data of several [published "
    "tables](../docs/published-numbers.md).\n"
    "- **verdicts**: of the contrasts that a grid declares. An arm is better or worse "
    "than the other one (higher or lower where neither end is the better one), "
    "equivalent within 2 %, undecided, or, as with one seed, not tested; p values are "
    "adjusted by Holm.\n"
    "- **prediction**: how many of its statements hold, fail or are undecided, by "
    "rule. The page says when each part of the prediction was written.\n"
    "- **version**: of what runs measure; part of a run's id. Another number is "
    "`RESULTS_VERSION` in the [changelog](../CHANGELOG.md): of what tables derive "
    "from the records.\n"
    "- **commit, made on**: of the runs; records made before these were kept have "
    "none.\n"
    "- **minutes**: about how long the runs took on this data set, as the grid or "
    "study states it; most on 2 cores, some on one. A dash: it states none."
)


def write_overview(records: Path, out: Path) -> Path:
    """Writes the list."""
    files: dict[str, list[Path]] = {}
    for path in sorted(records.glob("*/*.npz")):
        files.setdefault(find_by_file(path).name, []).append(path)
    blocks = []
    for topic, group in by_topic(experiments()).items():
        rows = [_row(path, out) for one in group for path in files.get(one.name, ())]
        if rows:
            blocks += [*_heading(topic), markdown_table(HEADS, rows)]
    page = markdown_page("Results", ABOUT, NOTES, *blocks)
    return replace(out / "README.md", page.encode())


def _heading(topic: str) -> list[str]:
    """The heading of a topic, and the pages that discuss it."""
    heading, pages = TOPICS[topic]
    links = [f"[{name}](../docs/{page})" for name, page in pages.items()]
    discussed = f"Discussed in: {', '.join(links)}." if links else ""
    return [f"## {heading}", discussed]


def _row(path: Path, out: Path) -> list[str]:
    header, name = read_header(path), f"{path.parent.name}/{path.stem}"
    page = out / "tables" / f"{name}.md"
    contrasts = out / "tables" / f"{name}-contrasts.csv"
    link = f"[{path.stem}](tables/{name}.md)" if page.is_file() else path.stem
    made = header.get("made", {})
    one = find_by_file(path)
    return [
        f"{link}, a quick run" if header.get("quick") else link,
        path.parent.name,
        one.question,
        _verdicts(contrasts) if contrasts.is_file() else EMPTY,
        _predicted(page) if page.is_file() else EMPTY,
        str(header.get("results_version", RECORDS_VERSION)),
        ", ".join(made.get("commits", ())) or EMPTY,
        _place(made),
        _minutes(one, path.parent.name),
    ]


def _minutes(one: Grid | Study, dataset: str) -> str:
    """How long a grid or study takes on a data set."""
    usual = getattr(one, "place", None) or Config.dataset
    return one.elsewhere.minutes.get(
        dataset, one.minutes if dataset == usual else EMPTY
    )


def _verdicts(contrasts: Path) -> str:
    """How many contrasts have which verdict, linked to them."""
    with contrasts.open(newline="", encoding="utf-8") as file:
        counts = Counter(row["verdict"] for row in csv.DictReader(file))
    text = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common() if verdict)
    page = f"tables/{contrasts.parent.name}/{contrasts.stem}.md"
    return f"[{text or 'no data'}]({page})"


def _predicted(page: Path) -> str:
    """How many statements of a prediction have which verdict."""
    counts = Counter(row[-1] for row in statements(page.read_text("utf-8")))
    return ", ".join(f"{verdict} {n}" for verdict, n in sorted(counts.items())) or EMPTY


def _place(made: dict[str, Any]) -> str:
    """The processors and the versions of JAX."""
    versions = [f"JAX {version}" for version in made.get("jax", ())]
    return ", ".join([*made.get("processors", ()), *versions]) or EMPTY
