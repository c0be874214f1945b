"""A grid and a study from outside: registered, run and reported, no file edited."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.grid import Contrast, Grid
from experiments.grids import GRIDS
from experiments.lookup import find
from experiments.studies import STUDIES
from experiments.study import Report, Study, StudyOptions, save_study
from research.data import load
from research.files import read_json
from research.report.pages import (
    markdown_table,
    read_table,
)
from research.report.pictures import Drawing, blank
from research.report.records import (
    Stored,
    load_records,
    read_header,
    study_header,
)
from research.types import InputError
from tests.experiments.made import contents, runs_of

ROOT = Path(__file__).parents[2]

TOY_GRID = Grid(
    name="toy-grid",
    question="Which toy arm is best?",
    arms=("popularity", "tiny", "tiny+logq"),
    reference="tiny",
    minutes="0",
    seeds=2,
    arm_sweeps={"tiny": ({"temperature": (0.1, 0.2)},)},
    note="A toy's numbers say nothing.",
)


def run_toy(options: StudyOptions) -> Path:
    """Counts the ratings of each item."""
    ratings = load(options.dataset, options.data_dir)
    counts = np.bincount(ratings.item)
    options.progress(f"{len(counts)} items, {options.seeds} seeds")
    header = study_header("toy-study", options.dataset, options.quick, ratings.digest)
    return save_study(options.out, header, {"counts": counts.astype("<i4")})


def report_toy(stored: Stored) -> Report:
    arrays = stored.arrays
    frame = pd.DataFrame({"rank": np.arange(len(arrays["counts"])), **arrays})
    figure, axes = blank(3.0)
    axes.plot(frame["rank"], frame["counts"])
    axes.set(xlabel="item", ylabel="ratings")
    total = str(frame["counts"].sum())
    table = markdown_table(["items", "ratings"], [[str(len(frame)), total]])
    drawings = {"-items": Drawing(figure, frame)}
    return Report({".csv": frame}, ["Ratings by item.", table], drawings)


TOY_STUDY = Study(
    name="toy-study",
    question="How many ratings has an item?",
    minutes="0",
    run=run_toy,
    report=report_toy,
    seeds=3,
)


def reported_again(call, out: Path, name: str) -> None:
    """``report`` writes every table and figure anew, and ``check`` agrees."""
    made = contents(out, f"tables/**/{name}*") | contents(out, f"figures/**/{name}*")
    for path in made:
        (out / path).unlink()
    assert call("report", name, "--out", out).status == 0
    again = contents(out, f"tables/**/{name}*") | contents(out, f"figures/**/{name}*")
    assert again == made
    checked = call("check", "--results", out)
    assert checked.status == 0
    assert f"same  tables/ml-100k/{name}.csv" in checked.out


def test_a_grid_from_outside_runs_from_training_to_its_figure(call, tmp_path):
    with GRIDS.added("toy-grid", TOY_GRID):
        assert "toy-grid" in call("list").out
        assert call("run", "toy-grid", "--out", tmp_path).status == 0
        rows = load_records(tmp_path / "records" / "ml-100k" / "toy-grid.npz")
        assert len(rows) == 2 * (1 + 2 + 1)
        assert all(row.record is not None for row in rows)
        ids = {
            read_json(f / "config.json")["seed"] for f in runs_of(tmp_path, "toy-grid")
        }
        assert ids == {0, 1}
        frame = read_table(tmp_path / "tables" / "ml-100k" / "toy-grid.csv")
        assert set(frame["arm"]) == set(TOY_GRID.arms)
        assert set(frame["temperature"].dropna()) == {0.1, 0.2}
        text = (tmp_path / "tables" / "ml-100k" / "toy-grid.md").read_text()
        assert TOY_GRID.question in text
        assert TOY_GRID.note in text
        figures = {path.name for path in (tmp_path / "figures" / "ml-100k").iterdir()}
        assert figures == {f"toy-grid-arms.{end}" for end in ("csv", "png")}
        reported_again(call, tmp_path, "toy-grid")
    with pytest.raises(InputError, match="unknown grid 'toy-grid'"):
        find("toy-grid")


def test_a_grid_of_one_arm_draws_its_contrasts(call, tmp_path):
    """No other arm differs from the reference: its usual figure would be empty."""
    values = (0.1, 0.2)
    ends = ({"temperature": value} for value in values)
    alone = replace(
        TOY_GRID,
        arms=("tiny",),
        arm_sweeps={"tiny": ({"temperature": values},)},
        contrasts=(Contrast("tiny", "tiny", "recall", 20, *ends),),
    )
    with GRIDS.added("toy-grid", alone):
        assert call("run", "toy-grid", "--out", tmp_path).status == 0
        points = tmp_path / "figures" / "ml-100k" / "toy-grid-arms.csv"
        assert pd.read_csv(points).id.tolist() == [alone.contrasts[0].id]
        reported_again(call, tmp_path, "toy-grid")


def test_a_study_from_outside_runs_from_its_records_to_its_figure(call, tmp_path):
    with STUDIES.added("toy-study", TOY_STUDY):
        assert "toy-study" in call("list").out
        called = call("run", "toy-study", "--seeds", "2", "--quick", "--out", tmp_path)
        assert called.status == 0
        assert "130 items, 2 seeds\n" in called.out
        written = [line for line in called.out.splitlines() if "wrote" in line]
        assert len(written) == 1 + 2 + 2 + 1  # and the page to explore
        out = tmp_path / "quick"
        records = out / "records" / "ml-100k" / "toy-study.npz"
        header = read_header(records)
        assert header["quick"]
        assert len(header["data_digest"]) == 64
        text = (out / "tables" / "ml-100k" / "toy-study.md").read_text()
        assert "| 130 |" in text
        assert "A quick run" in text
        picture = out / "figures" / "ml-100k" / "toy-study-items.png"
        assert picture.stat().st_size > 5_000
        reported_again(call, out, "toy-study")
    assert "toy-study" not in STUDIES
