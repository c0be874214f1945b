"""The table of a grid: its columns, its holes, what it leaves out, and the check."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from experiments import runs
from experiments.__main__ import main
from experiments.arms import ARMS
from experiments.grid import Contrast, Grid
from experiments.grids import GRIDS
from experiments.lookup import find
from experiments.studies import STUDIES
from research.config import Config
from research.files import read_json
from research.report.pages import QUICK_MARK, read_table
from research.report.pictures import DESCRIPTION, words_in
from research.report.records import (
    RECORDS_VERSION,
    read_header,
)
from research.types import InputError
from tests.experiments.made import SMALL, contents, runs_of

BEFORE = ["arm", "metric", "k", "mean", "low", "high", "seeds", "users"]
AFTER = ["against", "delta", "delta_low", "delta_high", "note"]  # note: why a hole
SHOWN = {
    "recall", "ndcg", "hit", "mrr", "recall_head", "recall_torso", "recall_tail",
    "recall_item", "coverage", "gini", "ild", "novelty", "train_count",
}  # fmt: skip
COMMITTED = Path(__file__).parents[2] / "results"


def test_columns_of_a_table(made_few):
    frame = read_table(made_few / "tables" / "ml-100k" / "few.csv")
    assert list(frame.columns) == [*BEFORE, "temperature", *AFTER]
    stated = frame.groupby("arm").temperature.first()
    assert stated.isna().tolist() == [name == "popularity" for name in stated.index]
    assert set(stated.dropna()) == {Config().temperature}
    assert set(frame["metric"]) >= SHOWN
    assert set(frame["k"]) == {10, 20, 50, 100}
    assert list(dict.fromkeys(frame["arm"])) == [
        "popularity", "tiny", "tiny+prior", "tiny+logq",
    ]  # fmt: skip
    # a baseline, one run, counts as many seeds as the others
    assert set(frame["seeds"]) == {2}
    recall = frame[(frame.metric == "recall") & (frame.k == 20)]
    others = recall[recall.arm != "tiny"]
    assert set(others["against"]) == {"tiny"}
    means = recall.set_index("arm")["mean"]
    for row in others.itertuples():
        assert row.delta == pytest.approx(means[row.arm] - means["tiny"], abs=1e-5)
        assert row.delta_low <= row.delta <= row.delta_high


def test_the_means_are_those_of_the_runs(made_few):
    frame = read_table(made_few / "tables" / "ml-100k" / "few.csv")
    frame = frame[frame.arm == "tiny+logq"]
    folders = [f for f in runs_of(made_few, "few") if "logq" in f.name]
    numbers = [read_json(folder / "metrics.json") for folder in folders]
    for metric in ("recall", "ndcg", "coverage", "recall_item"):
        for k in (10, 20, 50, 100):
            values = [n[metric][str(k)] for n in numbers if str(k) in n[metric]]
            row = frame[(frame.metric == metric) & (frame.k == k)]
            assert len(row) == bool(values)
            if values:
                # the record holds recall_item in half precision
                assert row["mean"].item() == pytest.approx(
                    sum(values) / len(values), rel=1e-3
                )


def test_a_report_is_of_every_split_that_there_are_records_of(done, tmp_path):
    for split in ("ratio", "last"):
        words = ("--arms", "popularity", "--split", split, "--out", tmp_path)
        done("run", "few", *words)
    names = {f"ml-100k/few{split}.csv" for split in ("", "-last")}
    for grids in (("few",), ()):
        for name in names:
            (tmp_path / "tables" / name).unlink()
        done("report", *grids, "--out", tmp_path)
        assert names <= set(contents(tmp_path / "tables"))


def test_other_runs_are_counted_on_one_line(done, few):
    words = ("run", "few", "--seeds", "1", "--arms", "popularity", "--out", few)
    path = few / "tables" / "ml-100k" / "few.csv"
    whole = path.read_bytes()
    assert "ignored" not in done(*words).out
    assert path.read_bytes() == whole, "nothing is taken away"
    for n, folder in enumerate(runs_of(few, "few")):
        if folder.name.startswith("tiny"):  # of other settings, as it were
            folder.rename(folder.with_name(f"tiny-{n:012}"))
    called = done(*words)
    (line,) = [text for text in called.out.splitlines() if "ignored" in text]
    assert line == "4 other runs in the grid's folder were ignored"
    assert set(read_table(path)["arm"]) == {"popularity"}
    assert set(read_table(path)["seeds"]) == {1}
    assert "no differences: the reference tiny has no finished run here" in called.out


def test_a_loss_that_isnt_finite_is_a_hole_with_its_reason(call, tmp_path):
    words = ("run", "holed", "--seeds", "1", "--out", tmp_path)
    called = call(*words)
    frame = read_table(tmp_path / "tables" / "ml-100k" / "holed.csv")
    assert called.status == 1
    folders = runs_of(tmp_path, "holed")
    (folder,) = (f for f in folders if (f / "failed.json").is_file())
    reason = read_json(folder / "failed.json")["reason"]
    assert reason.startswith("loss not finite at step ")
    assert reason.removeprefix("loss not finite at step ").isdigit()
    assert not (folder / "metrics.json").exists()
    assert f"exploding seed 0: failed: {reason}" in called.out
    assert "tiny seed 0: R@20" in called.out  # the other arm finishes
    exploding = frame[frame.arm == "exploding"]
    assert len(exploding) > 0
    assert exploding["mean"].isna().all()
    assert set(exploding["seeds"]) == {0}
    assert frame[frame.arm == "tiny"]["mean"].notna().any()
    text = (tmp_path / "tables" / "ml-100k" / "holed.md").read_text()
    (row,) = [line for line in text.splitlines() if "exploding" in line]
    assert f"failed: {reason}" in row
    # a failed run isn't a finished one: it alone is tried again
    again = call(*words)
    assert again.status == 1
    assert "holed: 2 runs, 1 finished already, 1 to do" in again.out


def test_a_run_that_succeeds_is_failed_no_more(call, done, tmp_path, monkeypatch):
    words = ("run", "few", "--arms", "tiny", "--seeds", "1", "--out", tmp_path)

    def broken(*_):
        raise MemoryError("none left\nat all")

    with monkeypatch.context() as patch:
        patch.setattr(runs, "train_together", broken)
        called = call(*words)
    assert called.status == 1
    assert "failed: MemoryError" in called.out
    assert "none left" in called.out
    (folder,) = runs_of(tmp_path, "few")
    assert "none left" in read_json(folder / "failed.json")["reason"]
    done(*words)
    assert not (folder / "failed.json").exists()


@pytest.fixture(scope="module")
def results(tmp_path_factory, data):
    """A smoke run of the grid ssb, its arms tiny; one of them served with a prior."""
    out = tmp_path_factory.mktemp("results")
    towers = ("in-batch", "in-batch+prior", "full-softmax")
    words = f"run ssb --quick --jobs 1 --arms popularity {' '.join(towers)}"
    with pytest.MonkeyPatch.context() as patch:
        for name in towers:
            patch.setitem(ARMS, name, {**SMALL, **ARMS[name]})
        assert main([*words.split(), "--data-dir", str(data), "--out", str(out)]) == 0
    return out / "quick"


def test_a_quick_run_says_that_it_is_one(results):
    files = contents(results, "tables/**/*") | contents(results, "figures/**/*")
    assert set(files) == {
        "tables/ml-100k/ssb.csv",
        "tables/ml-100k/ssb-contrasts.csv",
        "tables/ml-100k/ssb-contrasts.md",
        "tables/ml-100k/ssb.md",
        "figures/ml-100k/ssb-arms.png",
        "figures/ml-100k/ssb-arms.csv",
    }
    assert "A quick run" in files["tables/ml-100k/ssb.md"].decode()
    assert QUICK_MARK in words_in(results / "figures" / "ml-100k" / "ssb-arms.png")
    assert QUICK_MARK in (results / "report.html").read_text()  # the page adds it
    for folder in runs_of(results, "ssb"):
        config = read_json(folder / "config.json")
        assert config["model"] == "popularity" or config["epochs"] == 2
        assert config["seed"] == 0


def test_check_passes_on_what_was_derived(results, done):
    called = done("check", "--results", results)
    tables = [f"tables/ml-100k/ssb{e}" for e in ("-contrasts.csv", "-contrasts.md")]
    tables += ["tables/ml-100k/ssb.csv", "tables/ml-100k/ssb.md"]
    figures = [f"figures/ml-100k/ssb-arms{end}" for end in (".csv", ".png")]
    *lines, last = called.out.splitlines()
    assert sorted(lines) == [f"same  {name}" for name in (*figures, *tables)]
    assert last == "6 of 6 files follow from the records"


def one_digit_more(path):
    whole = path.read_text()
    at = max(n for n, char in enumerate(whole) if char.isdigit())
    digit = str((int(whole[at]) + 1) % 10)
    path.write_text(whole[:at] + digit + whole[at + 1 :])


def another_title(path):
    """The code no longer has this title; the points are the same."""
    with Image.open(path) as picture:
        words = picture.info[DESCRIPTION]
        assert "Paired differences from" in words
        info = PngInfo()
        info.add_itxt(DESCRIPTION, words.replace("Paired differences", "Others"))
        altered = io.BytesIO()
        picture.save(altered, "png", pnginfo=info)
    path.write_bytes(altered.getvalue())


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tables/ml-100k/ssb.csv", one_digit_more),
        ("tables/ml-100k/ssb-contrasts.csv", one_digit_more),
        ("figures/ml-100k/ssb-arms.csv", one_digit_more),
        ("figures/ml-100k/ssb-arms.png", another_title),
    ],
)
def test_check_fails_on_one_digit_or_another_title(name, change, results, call):
    path = results / name
    whole = path.read_bytes()
    try:
        change(path)
        called = call("check", "--results", results)
    finally:
        path.write_bytes(whole)
    assert called.status == 1
    assert f"DIFFERENT  {name}" in called.out
    assert called.out.endswith("\n5 of 6 files follow from the records\n")


@pytest.mark.slow
@pytest.mark.long
def test_the_committed_results_pass_the_check(call):
    records = sorted((COMMITTED / "records").glob("*/*.npz"))
    assert records, "results/records is committed"
    called = call("check", "--results", COMMITTED)
    assert "DIFFERENT" not in called.out
    assert called.status == 0
    assert called.out.count("same") >= 2 * len(records)


def test_the_committed_records_stay_under_78_megabytes():
    paths = (COMMITTED / "records").rglob("*.npz")
    assert sum(path.stat().st_size for path in paths) < 78e6


@pytest.mark.parametrize("grid", ["ssb", "temperature"])
def test_the_committed_results_are_whole(grid):
    """All seeds of every arm, none failed, no smoke run; no table without records."""
    path = COMMITTED / "records" / "ml-100k" / f"{grid}.npz"
    header = read_header(path)
    assert header["results_version"] == RECORDS_VERSION
    assert not header["quick"]
    frame = read_table(COMMITTED / "tables" / "ml-100k" / f"{grid}.csv")
    assert set(frame["arm"]) == set(GRIDS[grid].arms)
    assert set(frame["seeds"]) == {8 if grid == "ssb" else 5}
    assert frame["mean"].notna().all()


def test_no_table_is_committed_without_its_records():
    """Further tables are named after theirs: probe-deciles is made from probe."""
    recorded = {(p.parent.name, p.stem) for p in COMMITTED.glob("records/*/*.npz")}
    for path in COMMITTED.glob("tables/*/*"):
        stem = path.stem.removesuffix("-contrasts").removesuffix("-looks")
        first = stem.partition("-")[0]
        further = (first in GRIDS and GRIDS[first].tables) or first in STUDIES
        if further and stem not in STUDIES and (path.parent.name, stem) not in recorded:
            stem = first
        assert (path.parent.name, stem) in recorded


def test_report_derives_the_same_files_anew(results, done):
    before = contents(results, "tables/**/*") | contents(results, "figures/**/*.csv")
    for name in before:
        (results / name).unlink()
    called = done("report", "--out", results)
    assert called.out.count("wrote ") == 7
    after = contents(results, "tables/**/*") | contents(results, "figures/**/*.csv")
    assert after == before


VALUES = (0.1, 0.2)
TOY = Grid(
    name="toy-grid",
    question="Which temperature is best?",
    arms=("tiny",),
    reference="tiny",
    minutes="0",
    seeds=2,
    arm_sweeps={"tiny": ({"temperature": VALUES},)},
    note="A toy's numbers say nothing.",
    contrasts=(
        Contrast("tiny", "tiny", "recall", 20, *({"temperature": t} for t in VALUES)),
    ),
)


def test_a_grid_from_outside_of_one_arm_draws_its_contrasts(done, tmp_path):
    """No other arm differs from the reference: its usual figure would be empty."""
    with GRIDS.added("toy-grid", TOY):
        done("run", "toy-grid", "--out", tmp_path)
        frame = read_table(tmp_path / "tables" / "ml-100k" / "toy-grid.csv")
        assert np.unique(frame["temperature"]).tolist() == list(VALUES)
        page = (tmp_path / "tables" / "ml-100k" / "toy-grid.md").read_text()
        assert TOY.question in page
        assert TOY.note in page
        points = tmp_path / "figures" / "ml-100k" / "toy-grid-arms.csv"
        assert pd.read_csv(points).id.tolist() == [TOY.contrasts[0].id]
        derived = ("tables/**/toy-grid*", "figures/**/toy-grid*")
        made = {n: b for where in derived for n, b in contents(tmp_path, where).items()}
        for path in made:
            (tmp_path / path).unlink()
        done("report", "toy-grid", "--out", tmp_path)
        assert {name: (tmp_path / name).read_bytes() for name in made} == made
        checked = done("check", "--results", tmp_path)
        assert "same  tables/ml-100k/toy-grid.csv" in checked.out
    with pytest.raises(InputError, match="unknown grid 'toy-grid'"):
        find("toy-grid")
