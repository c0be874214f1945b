"""The outside ledger: its verdicts, its cells, its prediction, runs on made data."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import experiments.studies.outside as outside
from experiments.loaded import prepared_run
from experiments.runs import baseline
from experiments.serve import score
from experiments.studies import STUDIES
from experiments.studies.outside import (
    BEST,
    CHOSEN,
    LAST,
    LEFT_OUT,
    NUMBERS,
    PROTOCOLS,
    RUN_OF,
    RUNS,
    WITH_PRIOR,
    Run,
    dataset_of,
    expected,
    measured,
    phase,
    run_outside,
)
from experiments.studies.outside.report import (
    AGREES,
    AT_K,
    DATASETS,
    DIFFERS,
    LOOKS,
    NDCG,
    SERVED,
    SL,
    UNEXPLAINED,
    ledger,
    ledger_figure,
    read_cells,
    verdicts,
)
from experiments.study import StudyOptions, report_study
from research.config import Config
from research.evaluate.metrics import METRICS
from research.prepare import check_config
from research.report.records import Stored, load_stored, save_stored
from research.types import InputError
from tests.studies.made import given_folder
from tests.test_repository import ROOT


def made(mean, error=0.0, resplit=True) -> Stored:
    """Records of two rows and one number; mean [row, seed]."""
    mean = np.array(mean, float)[..., None]
    header = {"runs": ["one", "other"], "numbers": ["recall@10"], "quick": False}
    header |= {"data": ["d", "d"], "resplit": [resplit, resplit]}
    return Stored(header, {}, {"mean": mean, "error": np.full(mean.shape, error)})


def cell(value: float, because: str = "") -> dict[str, Any]:
    at = {"dataset": "d", "row": "row", "metric": "recall", "k": 10, "value": value}
    return {**at, "run": "one", "because": because}


def ledger_of(stored: Stored, *cells: dict[str, Any]) -> pd.DataFrame:
    return ledger(stored, pd.DataFrame(cells))


def verdict(stored: Stored, value: float, because: str = "") -> tuple[str, str]:
    row = ledger_of(stored, cell(value, because)).iloc[0]
    return row.verdict, row.reason


def test_with_splits_of_our_own_two_errors_of_splits_and_users_are_allowed():
    # splits: sd 0.03, so 0.03 / sqrt(9) = 0.01 of the mean; users 0.0075: 0.0125
    nine = 0.2 + 0.03 * np.sqrt(8 / 6) * np.repeat([-1.0, 0.0, 1.0], 3)
    stored = made([nine, nine], error=0.0075)
    row = ledger_of(stored, cell(0.2)).iloc[0]
    assert row.deviation == pytest.approx(0.03)
    assert row.allowed == pytest.approx(0.025)
    assert verdict(stored, 0.2249) == verdict(stored, 0.1751) == (AGREES, "")
    assert verdict(stored, 0.2251) == verdict(stored, 0.1749) == (UNEXPLAINED, "")


def test_on_the_published_split_two_deviations_over_seeds_are_allowed():
    three = [0.19, 0.20, 0.21, np.nan]  # sd 0.01; a seed that was not measured
    stored = made([three, three], error=0.5, resplit=False)
    row = ledger_of(stored, cell(0.2)).iloc[0]
    assert (row.seeds, row.allowed) == (3, pytest.approx(0.02))
    assert verdict(stored, 0.2199) == (AGREES, "")
    assert verdict(stored, 0.2201) == (UNEXPLAINED, "")


@pytest.mark.parametrize("seeds", [[0.2], [0.2, 0.2001]])
def test_on_the_published_split_a_thousandth_is_always_allowed(seeds):
    stored = made([seeds, seeds], resplit=False)
    assert verdict(stored, np.mean(seeds) + 0.00099) == (AGREES, "")
    assert verdict(stored, np.mean(seeds) + 0.00101) == (UNEXPLAINED, "")


def test_a_difference_is_explained_only_by_a_run_that_agrees():
    stored = made([[0.20, 0.21], [0.30, 0.31]])
    assert verdict(stored, 0.305) == (UNEXPLAINED, "")
    assert verdict(stored, 0.305, "other") == (DIFFERS, "other")
    assert verdict(stored, 0.305, "absent;other") == (DIFFERS, "other")
    assert verdict(stored, 0.4, "other") == (UNEXPLAINED, "")
    assert verdict(stored, 0.305, "absent") == (UNEXPLAINED, "")
    assert verdict(stored, 0.205, "other") == (AGREES, "")


def test_a_run_explains_a_row_as_a_whole_or_nothing_of_it():
    stored = made([[0.20, 0.20], [0.30, 0.30]], resplit=False)
    near, far = cell(0.30, "other"), cell(0.40, "other")
    assert [*ledger_of(stored, near, near).verdict] == [DIFFERS] * 2
    assert [*ledger_of(stored, near, far).verdict] == [UNEXPLAINED] * 2
    elsewhere = far | {"row": "another row"}
    assert [*ledger_of(stored, near, elsewhere).verdict] == [DIFFERS, UNEXPLAINED]


def test_one_split_of_our_own_gives_no_verdict():
    assert verdict(made([[0.2], [0.3]], error=0.01), 0.2) == ("", "")


def test_the_figure_shows_how_far_each_row_is_in_percent_of_the_printed_number():
    frame = ledger_of(made([[0.20, 0.21], [0.30, 0.31]], resplit=False), cell(0.2))
    near = frame.assign(k=20)
    low = near.assign(row="low", difference=0.01, value=0.1, verdict=DIFFERS)
    far = near.assign(row="far", difference=0.16, value=0.2, verdict=UNEXPLAINED)
    ndcg = near.assign(metric="ndcg", dataset="another set")
    shallow = low.assign(k=10, difference=0.02)  # not shown beside a larger cut-off
    drawing = ledger_figure(pd.concat([near, low, far, ndcg, shallow]))
    points = drawing.points.set_index(["row", "metric"]).percent
    assert points["low", "recall"] == pytest.approx(-10)
    allowed = drawing.points.set_index(["row", "metric"]).allowed
    assert allowed["low", "recall"] == pytest.approx(1000 * near.allowed[0])
    assert points["far", "recall"] == pytest.approx(-80)
    assert len(points) == 4

    recall, _ = drawing.figure.axes
    assert [text.get_text() for text in recall.texts] == ["-80"]
    drawn = {line.get_color(): line for line in recall.lines if line.get_marker()}
    at, line = drawn[LOOKS[DIFFERS].colour].get_data()
    names = [text.get_text().strip() for text in recall.get_yticklabels()]
    assert (*at, names[line[0]]) == (pytest.approx(-10), "low")
    assert drawn[LOOKS[UNEXPLAINED].colour].get_xdata()[0] > -20  # at the edge
    assert set(names) == {"d", "row", "low", "far", "another set"}


def test_the_cells_are_well_formed():
    cells = read_cells()
    keys = ["source", "table", "dataset", "row", "metric", "k"]
    assert not cells.duplicated(keys).any()
    assert len(cells.drop_duplicates(keys[:2])) >= 5
    assert {*cells.dataset} == {*DATASETS}  # each has a heading
    references = (ROOT / "docs" / "references.md").read_text()
    for c in cells.itertuples():
        assert f'<a id="{c.source}">' in references
        assert c.table
        assert c.page
        assert c.dataset == RUNS[c.run].data.partition("/")[0]
        assert f"{c.metric}@{c.k}" in PROTOCOLS[RUNS[c.run].protocol].numbers
        assert set(c.because.split(";")) <= {"", *RUN_OF}
        assert 0 < c.value < 1
    assert {*expected()} <= {*RUNS}
    for run in RUNS.values():
        fields = PROTOCOLS[run.protocol].fields
        check_config(dataclasses.replace(Config(), **fields, model="popularity"))


def trained(folder, protocol="validated anew", progress=print, **changes):
    """The views of a small model that is trained under a protocol."""
    run = Run("made", protocol, "mf-dot", {"batch": 64, "dim": 8, **changes})
    return measured(run, 0, str(folder / "made"), progress)


NDCG_20 = NUMBERS.index("ndcg@20")


def test_a_trained_run_has_the_views_of_its_protocol(tmp_path, monkeypatch):
    data, size = given_folder(tmp_path / "made"), {"epochs": 15, "learning_rate": 0.05}
    views = trained(data, **size)
    assert list(views) == [CHOSEN, LAST, BEST, LEFT_OUT, WITH_PRIOR]
    ndcg = {view: values[0, NDCG_20] for view, values in views.items()}
    assert ndcg[BEST] >= max(ndcg[CHOSEN], ndcg[LAST])
    assert ndcg[LEFT_OUT] > ndcg[CHOSEN]  # validation items take no place any more
    assert ndcg[WITH_PRIOR] != ndcg[CHOSEN]
    monkeypatch.setattr(outside, "PRIOR", 0.0)
    views = trained(data, **size)
    np.testing.assert_array_equal(views[WITH_PRIOR], views[CHOSEN])
    assert np.isnan(views[CHOSEN][0, NUMBERS.index("hit@10")])


def test_a_popularity_prior_finds_what_is_popular(tmp_path):
    data = given_folder(tmp_path / "made", chance=np.linspace(0.01, 0.5, 120))
    # so small a step that the model learns nothing
    views = trained(data, epochs=5, learning_rate=1e-12)
    assert views[WITH_PRIOR][0, NDCG_20] > 1.5 * views[CHOSEN][0, NDCG_20]


def test_training_ends_where_no_look_brings_a_gain(tmp_path):
    lines: list[str] = []
    # so small a step that nothing changes: one look, then ten without a gain
    data, size = given_folder(tmp_path / "made"), {"epochs": 200}
    trained(data, progress=lines.append, learning_rate=1e-12, **size)
    assert len(lines) == 1 + PROTOCOLS["validated anew"].patience


def test_without_a_validation_part_the_best_look_on_test_counts_every_user(tmp_path):
    data = given_folder(tmp_path / "made", untested=10)
    lines: list[str] = []
    views = trained(data, "whole", lines.append, epochs=10)
    looks = [float(line.rsplit(" ", 1)[1]) for line in lines]
    assert views[CHOSEN][0, NDCG_20] == pytest.approx(max(looks), abs=1e-4)
    assert views[LAST][0, NDCG_20] == pytest.approx(looks[-1], abs=1e-4)

    popular = Run("made", "whole", "popularity")
    run = prepared_run(phase(popular, 0, str(data / "made")))
    ndcg = METRICS["ndcg"].of(score(run, baseline(run)), 20)
    assert len(ndcg) == 30
    found = measured(popular, 0, str(data / "made"))[CHOSEN][0, NDCG_20]
    assert found == pytest.approx(ndcg.sum() / 40)


def test_every_rating_trains_under_cornacs_protocol_and_high_ones_judge(tmp_path):
    """Popularity's lists by loops over the file's rows."""
    rows = pd.read_csv(given_folder(tmp_path / "made") / "made" / "interactions.csv")
    rows["rating"] = np.random.default_rng(1).integers(1, 6, len(rows))
    rows.to_csv(tmp_path / "made" / "interactions.csv", index=False)
    train, test = rows[rows.part == "train"], rows[rows.part == "test"]
    count = train.item.value_counts()
    recall, precision = [], []
    for user, liked in test[test.rating >= 4].groupby("user"):
        mine = train[(train.user == user) & (train.rating >= 4)]
        free = sorted(set(rows.item) - set(mine.item))
        # Ties go by the places of items, which differ: they are left to chance here.
        score = np.array([count.get(item, 0) for item in free])
        kth = np.sort(score)[-10]
        weight = np.where(score > kth, 1.0, 0.0)
        weight[score == kth] = (10 - weight.sum()) / (score == kth).sum()
        hits = weight[np.isin(free, liked.item)].sum()
        recall.append(hits / len(liked))
        precision.append(hits / 10)
    run = Run("made", "cornac", "popularity")
    found = measured(run, 0, str(tmp_path / "made"))[CHOSEN][0]
    near = {"abs": 0.02}
    assert found[NUMBERS.index("recall@10")] == pytest.approx(np.mean(recall), **near)
    place = NUMBERS.index("precision@10")
    assert found[place] == pytest.approx(np.mean(precision), **near)


def quick_options(tmp_path: Path) -> StudyOptions:
    """Of a quick run on made pairs of 120 items."""
    draw = np.random.default_rng(0)
    folder = tmp_path / "data" / "ml-1m-ge3"
    folder.mkdir(parents=True)
    users, items = np.nonzero(draw.random((60, 120)) < 0.5)
    pairs = pd.DataFrame({"user": users, "item": items})
    pairs.to_csv(folder / "interactions-unsplit.csv.gz", index=False)
    return StudyOptions(
        tmp_path / "out", data_dir=str(tmp_path / "data"), seeds=2, quick=True
    )


def test_a_run_that_does_not_fit_the_memory_is_left_out(tmp_path, monkeypatch):
    lines: list[str] = []
    options = quick_options(tmp_path)._replace(progress=lines.append)
    monkeypatch.setattr("research.memory.machine_bytes", lambda: 100_000)
    stored = load_stored(run_outside(options))
    assert stored.header["runs"] == ["popularity"]
    assert "ease-1000 is left out: ease of 120 items would take" in lines[0]
    with pytest.raises(InputError, match="no run that was asked for fits"):
        run_outside(options._replace(arms=("ease-1000",), out=tmp_path / "other"))


def test_from_made_pairs_to_the_table_and_a_changed_record_to_another_verdict(
    tmp_path, monkeypatch
):
    options = quick_options(tmp_path)
    records = run_outside(options)
    before_bytes = records.read_bytes()
    stored = load_stored(records)
    assert stored.arrays["mean"].shape == (2, 2, len(NUMBERS))
    assert stored.header["split"] == "random"
    mean = dict(zip(NUMBERS, stored.arrays["mean"][0, 0]))
    assert mean["mrr@10"] <= mean["hit@10"]
    assert mean["precision@10"] < mean["recall@10"]  # fewer held out than slots
    assert (stored.arrays["mean"][0, 0] != stored.arrays["mean"][0, 1]).any()
    table, page, *_ = report_study(STUDIES["outside"], records, tmp_path / "out")
    before = pd.read_csv(table)
    assert set(before.run) == {"ease-1000"}
    assert "A quick run" in page.read_text()

    lines: list[str] = []
    run_outside(options._replace(progress=lines.append))
    assert records.read_bytes() == before_bytes
    assert lines == []  # nothing is measured twice
    others = {name: one._replace(every=9) for name, one in PROTOCOLS.items()}
    with monkeypatch.context() as changed:
        changed.setattr(outside, "PROTOCOLS", others)
        run_outside(options._replace(progress=lines.append))
    assert len(lines) == 4  # but under another protocol
    assert records.read_bytes() == before_bytes

    moved = {**stored.arrays, "mean": np.full_like(stored.arrays["mean"], 0.2139)}
    save_stored(records, stored.header, moved)
    report_study(STUDIES["outside"], records, tmp_path / "out")
    recall = pd.read_csv(table).set_index("metric").loc["recall"]
    assert recall.verdict == AGREES
    save_stored(records, stored.header, {**moved, "mean": moved["mean"] + 0.5})
    report_study(STUDIES["outside"], records, tmp_path / "out")
    assert pd.read_csv(table).set_index("metric").loc["recall"].verdict == UNEXPLAINED


@pytest.mark.parametrize("place", [None, "nowhere"])
def test_without_its_data_it_is_refused(tmp_path, place):
    with pytest.raises(InputError, match=r"ml-1m-ge3"):
        run_outside(StudyOptions(tmp_path, data_dir=place))


def records(sl=0.05, at_k=0.057, sl_served=0.057, at_k_served=0.055):
    """NDCG@20 of four rows on Electronics, three seeds each; the fourth is not run."""
    rows = {SL: sl, AT_K: at_k, SERVED.format(SL): sl_served}
    rows[SERVED.format(AT_K)] = at_k_served
    seeds = 1e-5 * np.array([-1.0, 0.0, 1.0])
    mean = np.array([[*(value + seeds), np.nan] for value in rows.values()])
    # one row without noise, so that differences vary between seeds
    mean[0, :3] = sl
    header = {"runs": [*rows], "numbers": [NDCG], "data": ["electronic"] * 4}
    header["resplit"] = [False] * 4
    return Stored(header, {}, {"mean": mean[..., None], "error": mean[..., None] * 0})


def judged(*cells):
    """A frame of cells: data set, row, whether it agrees, published less ours."""
    columns = ["dataset", "row", "verdict", "difference"]
    rows = [(d, r, AGREES if a else UNEXPLAINED, by) for d, r, a, by in cells]
    return pd.DataFrame(rows, columns=columns)


def found(frame, stored=None):
    stored = stored or Stored(
        {"runs": [], "numbers": [], "data": [], "resplit": []}, {}, {}
    )
    return {row[0]: row[1:] for row in verdicts(frame, stored)}


def test_one_cell_that_disagrees_fails_its_row_and_no_other():
    frame = judged(
        ("electronic", "BPR", True, 0.0),
        ("electronic", "SL", True, 0.0),
        ("electronic", "SL", False, 0.1),
    )
    assert found(frame) == {
        "electronic, BPR: all cells agree": ["1 of 1", "holds"],
        "electronic, SL: all cells agree": ["1 of 2", "fails"],
    }


def test_what_is_said_of_a_table_depends_on_the_table():
    frame = judged(
        ("ml-1m-ge3", "EASE, lambda 1", True, 0.0),
        ("ml-1m-ge3", "SLIMElastic", False, 0.1),
        ("ml-100k", "BPR, defaults (README)", True, 0.0),
        ("ml-100k", "BPR, defaults (quick start)", True, 0.0),
        ("ml-100k-cornac", "BPR, 10 factors", False, 0.1),  # with its own expectation
        ("electronic", "LLPAUC", False, 0.1),  # likewise
    )
    assert found(frame) == {
        "ml-1m-ge3: all cells agree": ["1 of 2", "fails"],
        "ml-100k, BPR: all cells agree": ["2 of 2", "holds"],
    }


@pytest.mark.parametrize(("by", "verdict"), [(-0.0099, "holds"), (0.0101, "fails")])
def test_the_farthest_cell_decides_whether_a_row_lies_near(by, verdict):
    frame = judged(("gowalla", "SL@20", False, 0.001), ("gowalla", "SL@20", False, by))
    (row,) = found(frame).values()
    assert row == [f"at most {abs(by):.4f} away", verdict]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["holds"] * 3),
        ({"sl_served": 0.06}, ["fails", "fails", "holds"]),
        ({"at_k_served": 0.0601}, ["holds", "holds", "fails"]),
        ({"at_k": 0.055, "at_k_served": 0.055}, ["holds", "fails", "holds"]),
    ],
)
def test_what_a_prior_does_on_electronics(changes, expected):
    rows = found(judged(), records(**changes))
    assert [row[1] for row in rows.values()] == expected


def test_without_these_rows_nothing_is_said_of_a_prior():
    stored = records()
    short = {name: values[:3] for name, values in stored.arrays.items()}
    header = {n: values[:3] for n, values in stored.header.items()}
    assert found(judged(), Stored(header, {}, short)) == {}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("ease-1000", "random,seed=3,sizes=recbole"),
        (
            "ml-100k-irb lambda-rank (another validation part)",
            "given,validation=0.1,seed=3",
        ),
        ("electronic-popularity bpr", "given"),
    ],
)
def test_what_is_drawn_for_a_split_is_drawn_by_the_runs_seed(name, split):
    assert phase(outside.RUNS[name], 3, "ml-100k").split == split


@pytest.fixture
def published(tmp_path):
    """A folder of made data, its rows, and a file of each user's first train pairs."""
    folder = given_folder(tmp_path / "data" / "made") / "made"
    rows = pd.read_csv(folder / "interactions.csv")
    file = folder / PROTOCOLS["validated"].validation

    def held(pairs):
        first = rows[rows.part == "train"].groupby("user").head(pairs)
        first[["user", "item"]].to_csv(file, index=False)
        return first

    return folder, rows, file, held


def test_a_published_validation_part_is_taken_out_of_training(tmp_path, published):
    folder, rows, file, write = published
    held, data = write(2), str(folder.parent)
    run = Run("made", "validated", "popularity")
    dataset = dataset_of(run, data, tmp_path / "out")
    fold = prepared_run(phase(run, 0, dataset)).fold
    assert len(fold.fitted.user) == (rows.part == "train").sum() - len(held)
    assert len(fold.held_user) == (rows.part == "test").sum()
    later = dataclasses.replace(phase(run, 0, dataset), fit_on="train")
    assert len(prepared_run(later).fold.held_user) == len(held)

    def refused(line):
        with pytest.raises(InputError, match=line):
            dataset_of(run, data, tmp_path / "elsewhere")

    packed = file.with_name(file.name + ".gz")
    held[["user", "item"]].to_csv(packed, index=False)
    refused(f"{file.name} and {packed.name}")
    file.unlink()
    again = dataset_of(run, data, tmp_path / "packed")
    assert Path(again).read_bytes() == Path(dataset).read_bytes()
    packed.unlink()
    file.write_text("user,item\n0,no such item\n")
    refused("a pair of it is no train pair")
    file.write_text("user\n0\n")
    refused("no column item, but user")
    (folder / "interactions.csv.gz").touch()
    refused(r"interactions.csv and interactions.csv.gz")
    for path in folder.glob("interactions*"):
        path.unlink()
    refused(r"interactions.csv: no such file")
    file.unlink()
    refused(r"2024\.csv: no such file")


def test_users_with_few_train_pairs_may_validate_nothing_and_are_judged(
    tmp_path, published, monkeypatch
):
    folder, rows, _, write = published
    write(1)
    pairs = rows[rows.part == "train"].groupby("user").size()
    name, least = "rounded down", int(pairs.median())
    rounded = PROTOCOLS["validated, rounded down"]._replace(least=least)
    monkeypatch.setitem(PROTOCOLS, name, rounded)
    run = Run("made", name, "mf-dot", {"batch": 64, "epochs": 5, "dim": 8})
    dataset = dataset_of(run, str(folder.parent), tmp_path / "out")
    config = phase(run, 0, dataset)
    views = measured(run, 0, dataset)
    test = prepared_run(config).fold
    choice = prepared_run(dataclasses.replace(config, fit_on="train")).fold
    enough = (pairs >= least).sum()
    assert len(choice.evaluated) == enough < len(test.evaluated)
    assert len(test.fitted.item) == pairs.sum() - enough
    assert np.isfinite(views[CHOSEN][0, NDCG_20])
