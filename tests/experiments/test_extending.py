"""The blocks of docs/extending.md, executed as they stand, and run to the end."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from experiments.arms import ARMS
from experiments.grid import Grid
from experiments.grids import GRIDS
from experiments.registries import REGISTRIES
from experiments.studies import STUDIES
from research.evaluate.metrics import METRICS
from research.files import read_arrays
from research.losses import LOSSES, MASK, SHIFT
from research.report.pages import read_table
from research.report.records import load_records
from tests.experiments.made import SMALL, runs_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text()
ALL = {**REGISTRIES, "grids": GRIDS, "studies": STUDIES}
# What each section adds: the list it then stands in, and its name there.
ADDED = {
    "A loss": ("losses", "margin"),
    "A source of negatives": ("sources", "head"),
    "A click-share estimator": ("frequencies", "so-far"),
    "A feature": ("features", "title-length"),
    "A history encoder": ("encoders", "latest"),
    "A temperature kind": ("temperatures", "cooling"),
    "An optimiser": ("optimisers", "lion"),
    "A metric": ("metrics", "precision"),
    "A baseline": ("baselines", "one-order"),
    "Arms and a grid": ("grids", "decay"),
    "A study": ("studies", "ranges"),
}
# One arm of each registry; the metric measures them all.
ONE_EPOCH = {**SMALL, "epochs": 1}
TOYS = {
    "toy-none": {},
    "toy-loss": {"loss": "margin,margin=0.3"},
    "toy-source": {"negatives": ("in-batch", "head:16"), "logq": 1.0},
    "toy-frequency": {"frequency": "so-far", "logq": 1.0},
    "toy-feature": {"item_features": ("id", "title-length")},
    "toy-encoder": {"encoder": "latest"},
    "toy-temperature": {"temperature_kind": "cooling"},
    "toy-optimiser": {"optimiser": "lion", "learning_rate": 3e-4},
}
GRID = Grid(
    name="toys",
    question="Does each addition of the page run?",
    arms=(*TOYS, "toy-baseline"),
    reference="toy-none",
    minutes="0",
    seeds=1,
)


def sections() -> dict[str, str]:
    """The text of each section by its title."""
    parts = re.split(r"^## (.+)\n", PAGE, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.fixture
def added():
    """Executes every block, one namespace per section; afterwards nothing is left."""
    before = {what: dict(registry) for what, registry in ALL.items()}
    try:
        for title, text in sections().items():
            namespace = {"__name__": "a_notebook"}
            for block in re.findall(r"^```python\n(.*?)^```", text, re.S | re.M):
                exec(compile(block, title, "exec"), namespace)
        yield {what: registry.keys() - before[what] for what, registry in ALL.items()}
    finally:
        for what, registry in ALL.items():
            registry.clear()
            registry.update(before[what])


def test_each_section_adds_its_entry(added, done):
    assert list(sections()) == [*ADDED, "Permanent entries"]
    expected = {what: set() for what in ALL}
    expected["arms"].add("no-decay")
    for what, name in ADDED.values():
        expected[what].add(name)
    assert added == expected
    done("run", "decay", "--quick", "--show")
    for what, name in ADDED.values():
        listed = done("list", *([] if what == "studies" else [what]))
        assert re.search(rf"\b{name}\b", listed.out), what


def test_own_entries_are_checked_and_faults_told_with_numbers(added, done, call):
    told = done("check").out.splitlines()
    assert sorted(told) == [
        "ok     loss margin",
        "ok     metric precision",
        "ok     source of negatives head",
    ]
    LOSSES["margin"] = LOSSES["margin"]._replace(laws=frozenset({SHIFT, MASK}))
    wrong = METRICS["precision"]
    METRICS["precision"] = dataclasses.replace(wrong, better="lower")
    called = call("check")
    assert called.status == 1
    told = [line for line in called.out.splitlines() if line.startswith("FAILS")]
    assert len(told) == 3
    assert "loss margin: ORDER" in called.out
    assert "loss margin: UNIFORM_Q" in called.out
    assert "all positives first give 0.8 and all last 0, at cut-off 5" in called.out
    assert "ok     source of negatives head" in called.out


def test_the_page_says_where_permanent_entries_go():
    table = sections()["Permanent entries"]
    named = re.findall(r"\| `([A-Z]+)` in `([\w/]+\.py)` \|", table)
    assert len(named) == len(ADDED) + 1  # a grid's section has an arm too
    for registry, path in named:
        assert re.search(rf"^{registry}\b.*=", (ROOT / path).read_text(), re.M), path


def test_the_additions_run_from_training_to_table_and_figure(
    added, done, tmp_path, monkeypatch
):
    monkeypatch.setitem(GRIDS, GRID.name, GRID)
    monkeypatch.setitem(ARMS, "toy-baseline", {"model": "one-order"})
    for name, changes in TOYS.items():
        monkeypatch.setitem(ARMS, name, ONE_EPOCH | changes)
    done("run", "toys", "--out", tmp_path)
    rows = load_records(tmp_path / "records" / "ml-100k" / "toys.npz")
    assert [row.arm for row in rows] == list(GRID.arms)
    assert all(row.record is not None for row in rows)
    place = tmp_path / "tables" / "ml-100k"
    frame = read_table(place / "toys.csv")
    for metric in ("recall", "precision"):
        one = frame[(frame.metric == metric) & (frame.k == 20)]
        assert list(one.arm) == list(GRID.arms)
        assert np.isfinite(one["mean"]).all()
    vectors = {
        read_arrays(folder / "vectors.npz")["items"].tobytes()
        for folder in runs_of(tmp_path, "toys")
        if (folder / "vectors.npz").is_file()
    }
    assert len(vectors) == len(TOYS)  # each addition changed what was trained
    page = (place / "toys.md").read_text()
    assert " | P@20 |" in page
    assert all(name in page for name in GRID.arms)
    figures = {path.name for path in (tmp_path / "figures" / "ml-100k").iterdir()}
    assert figures == {f"toys-arms.{end}" for end in ("csv", "png")}


def test_the_study_of_the_page_runs_and_is_reported_again(added, done, tmp_path):
    done("run", "ranges", "--out", tmp_path)
    table = tmp_path / "tables" / "ml-100k" / "ranges.csv"
    made = table.read_bytes()
    assert read_table(table).columns.tolist() == ["temperature", "range"]
    table.unlink()
    done("report", "ranges", "--out", tmp_path)
    assert table.read_bytes() == made
    done("check", "--results", tmp_path)


@pytest.mark.slow
def test_the_grid_of_the_page_runs(added, done, tmp_path):
    done("run", "decay", "--quick", "--out", tmp_path)
    frame = read_table(tmp_path / "quick" / "tables" / "ml-100k" / "decay.csv")
    assert set(frame.arm) == {"no-decay", "in-batch+logq", "full-softmax"}
