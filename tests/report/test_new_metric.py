"""A metric and a figure that a test defines: no other file knows of them."""

import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest

from experiments.collect import report
from experiments.grid import Grid
from research.evaluate.metrics import METRICS, Metric, PageColumn, summary
from research.evaluate.record import evaluate
from research.evaluate.top_k import dot_product, rank_scores, seen_items_of
from research.report.figures import arms_figure, forest_figure
from research.report.pages import read_table, write_report
from research.report.pictures import Drawing, blank, save_figure, words_of
from research.report.records import load_records, save_records
from research.report.tables import marked_table, table, wide
from tests.evaluate.made import random_fold
from tests.report.made import made_rows, parsed

HEADER = {"dataset": "made", "split": "ratio", "fit_on": "train", "quick": False}
HEADER |= {"data_digest": "0" * 64}


def found_late(record, k):
    """Share of a user's held-out positives in the second half of the list."""
    user = np.repeat(np.arange(len(record.held)), record.held)
    late = (record.rank < k) & (record.rank >= k // 2)
    return np.bincount(user, late, len(record.held)) / record.held


NOTE = "late: share of the positives in the second half of the list."
LATE = Metric(
    label="late hits@{k}",
    help="share of a user's held-out positives in the second half of the list",
    compute=found_late,
    better="lower",
    unit="share of positives",
    page=PageColumn("late@{k}", interval=True, footnote=NOTE),
)


def first_item(run):
    """A column of an evaluation: the index of each list's first item."""
    return np.where(run.filled[:, 0], run.shown[:, 0], np.nan).astype(np.float64)


FIRST = Metric(
    label="first item",
    help="index of the first item",
    unit="index",
    page=PageColumn("first", ".1f"),
    cutoffs=(20,),
    column="first_item",
    measure=first_item,
)


def with_first(results, value=3.0):
    """The results with the column of FIRST in their records."""
    out = []
    for result in results:
        column = np.full(len(result.record.held), value, np.float16)
        columns = result.record.columns | {FIRST.column: column}
        out.append(result._replace(record=result.record._replace(columns=columns)))
    return out


def test_a_metric_of_the_ranks_is_in_the_table_on_the_page_and_an_axis(tmp_path):
    results = made_rows()
    before = table(results, "in-batch")
    with METRICS.added("late", LATE):
        frame = write_report(results, "in-batch", tmp_path / "t", "T")
        drawing = arms_figure(frame, across="late")
        save_figure(*drawing, tmp_path / "f")
        forest = forest_figure(frame, metrics=("late",)).figure.axes[0]
        assert forest.get_xlabel() == "difference in\nlate hits@20"
    assert set(frame.metric) - set(before.metric) == {"late"}
    others = frame[frame.metric != "late"].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, before)
    expected = np.nanmean([found_late(r.record, 20) for r in results[:3]])
    (row,) = frame.query("arm == 'in-batch' and metric == 'late' and k == 20").to_dict(
        "records"
    )
    assert row["mean"] == pytest.approx(expected, rel=1e-5)
    text = (tmp_path / "t.md").read_text()
    cells = parsed(text)["in-batch"]
    assert cells["late@20"].startswith(f"{expected:.3f}")
    assert cells["Δ late@20"] == "-"
    assert f"\n{NOTE}\n" in text
    assert "late" not in METRICS
    assert drawing.figure.axes[0].get_xlabel() == "late hits@20 (share of positives)"
    points = pd.read_csv(tmp_path / "f.csv")
    assert points.late.tolist() == pytest.approx(wide(frame, ["late"], 20).late)


def test_where_less_is_better_the_least_is_the_best():
    results = made_rows()
    with METRICS.added("late", LATE):
        frame, marked = marked_table(results, "in-batch")
    late = frame[(frame.metric == "late") & (frame.k == 20)]
    best = late.loc[late["mean"].idxmin()]
    assert marked[best.name] == "best"
    assert list(marked[late.index]).count("best") == 1


def of_found(record, k):
    """A metric of the users who have a late hit: each run counts as many as it has."""
    return np.where(found_late(record, k) > 0, 1.0, np.nan)


def but_one(record, k):
    """A metric of all users but one in each run, the one of the first place."""
    values = found_late(record, k)
    values[np.argmin(record.rank) % len(values)] = np.nan
    return values


@pytest.mark.parametrize("compute", [of_found, but_one])
def test_a_metric_that_counts_other_users_in_each_run_has_no_differences(compute):
    with METRICS.added("late", dataclasses.replace(LATE, compute=compute)):
        frame, marked = marked_table(made_rows(), "in-batch")
    late = frame[(frame.metric == "late") & (frame.k == 20)].set_index("arm")
    assert late["mean"].notna().all()
    users, base = late.users["full-softmax"], late.users["in-batch"]
    assert (users == base) == (compute is but_one)
    others = "others" if users == base else base
    words = f"no difference: counts {users} users, in-batch {others}"
    assert late.note["full-softmax"] == words
    assert np.isnan(late.delta["full-softmax"])
    assert set(marked[frame.metric == "late"]) == {""}


def test_a_measured_metric_goes_from_the_lists_to_the_page(tmp_path):
    fold, rng = random_fold(), np.random.default_rng(0)
    n_items, n_users = fold.fitted.n_items, len(fold.evaluated)
    scorer = dot_product(rng.normal(size=(n_users, 4)), rng.normal(size=(n_items, 4)))
    lists = rank_scores(scorer, n_items, *seen_items_of(fold))
    with METRICS.added("first", FIRST):
        record = evaluate(fold, lists)
        assert summary(record)["first"] == {20: pytest.approx(lists[:, 0].mean())}
        result = made_rows()[0]._replace(record=record)
        loaded = load_records(save_records(tmp_path / "r.npz", [result]))
        write_report(loaded, "", tmp_path / "t", "T")
    assert parsed((tmp_path / "t.md").read_text())["in-batch"]["first"] == (
        f"{lists[:, 0].astype(np.float16).mean(dtype=np.float64):.1f}"
    )
    assert "first" not in evaluate(fold, lists).columns


def test_what_some_runs_lack_is_empty_there_and_said(tmp_path):
    """As where records of before a metric was added stand beside new ones."""
    results = made_rows()
    mixed = [*results[:4], *with_first(results[4:])]
    with METRICS.added("first", FIRST):
        frame = write_report(mixed, "in-batch", tmp_path / "t", "T")
        points = arms_figure(frame, across="first")
        none = table(results, "in-batch")
    first = frame[frame.metric == "first"].set_index("arm")
    assert first["mean"].isna().tolist() == [True, True, False, False]
    assert first.seeds.tolist() == [0, 0, 3, 3]
    assert first.note["in-batch"] == "not measured in 3 of 3 runs"
    assert first.note["in-batch+logq"] == "not measured in 1 of 3 runs"
    why = "no difference: in-batch not measured in 3 of 3 runs"
    assert first.note["full-softmax"] == why
    text = (tmp_path / "t.md").read_text()
    shown = [row["first"] for row in parsed(text).values()]
    assert shown == ["-", "-", "3.0", "3.0"]
    assert "\nfirst: not measured in 4 of 12 runs.\n" in text
    label = " ".join(words_of(points.figure))
    assert "not shown: in-batch, first not measured in 3 of 3 runs" in label
    assert "first" not in set(none.metric)  # none has it: no column, and no note


def test_a_grid_names_its_figures_and_its_further_tables(tmp_path):
    """A figure and a table of the test's own; without a name, the arms one by one."""

    def seeds_figure(frame):
        points = wide(frame, ["recall"], 20)
        figure, axes = blank(2.0)
        axes.plot(points.recall, marker="o")
        axes.set_xlabel("arm")
        axes.set_ylabel("recall@20")
        return Drawing(figure, points)

    def counts(results, frame, path):
        target = path.with_name(f"{path.name}-counts.csv")
        target.write_text(f"runs\n{len(results)}\n")
        return [target]

    records = save_records(tmp_path / "toy.npz", made_rows(seeds=1), HEADER)
    grid = Grid("toy", "Does it show?", "0", reference="in-batch", seeds=1)
    named = grid.but(
        figures={
            "line": seeds_figure,
            "item": functools.partial(arms_figure, up="recall_item"),
        },
        tables=(counts,),
    )
    wanted = {
        "named": (named, {"toy-line", "toy-item"}, {"toy", "toy-counts"}),
        "default": (grid, {"toy-arms"}, {"toy"}),
        "none": (grid.but(figures={}), set(), {"toy"}),
    }
    for name, (one, figures, tables) in wanted.items():
        frame, written = report(one, records, tmp_path / name)
        assert {p.stem for p in written if p.suffix == ".png"} == figures
        assert {p.stem for p in written if p.parent.parent.name == "tables"} == tables
        assert all(path.is_file() for path in written)
    read = read_table(tmp_path / "named" / "tables" / "made" / "toy.csv")
    pd.testing.assert_frame_equal(read, frame)
    assert (tmp_path / "named/tables/made/toy-counts.csv").read_text() == "runs\n4\n"
