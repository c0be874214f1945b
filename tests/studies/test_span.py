"""How much of log q cosines lose, by records that are made and a small run."""

import dataclasses

import numpy as np
import pytest

import experiments.studies.span as span
from experiments.inputs import ratings_of
from experiments.runs import metric_means, serve
from experiments.studies.span import (
    TEMPERATURES,
    Part,
    measured,
    parts_of,
    run_span,
    taken,
)
from experiments.studies.span.report import predicted, report_span, span_frame, verdicts
from experiments.studies.strength import MORE_TOTALS
from experiments.study import StudyOptions
from research.config import Config
from research.events import catalogue, fold
from research.prepare import prepare
from research.report.colours import temperature_ink
from research.report.records import Stored, load_stored, study_header
from research.serving import Serving
from research.train.loop import train
from tests.studies.reported import page_of
from tests.studies.tastes import write_tastes
from tests.world import made_fold

PARTS = ("whole", "items/4", "clicks/4")
SIZES = {"whole": 8000, "items/4": 2000, "clicks/4": 7600}


def made(shift=lambda x, part: predicted(x), parts=PARTS):
    """Records whose curves with log q in the loss are moved by a function of x."""
    totals, draw = np.array(MORE_TOTALS), np.random.default_rng(0)
    shape = len(parts), len(TEMPERATURES), 3
    items = np.array([SIZES[part] for part in parts])[:, None, None] * np.ones(shape)
    x = np.array(TEMPERATURES)[None, :, None] * np.log(items)
    recall = np.empty((*shape, 2, len(totals)))
    for p, t, seed in np.ndindex(*shape):
        moved = shift(x[p, t, seed], parts[p]) + 0.01 * draw.standard_normal()
        for m, at in enumerate((0.0, moved)):
            recall[p, t, seed, m] = 0.1 + 0.02 * np.sin(totals - at)
    arrays = {
        "recall": recall,
        "items": items,
        "each": np.full(shape, 10.0),
        "log_range": np.log(items) / 2,
        "entropy": np.full(shape, 8.0),
        "temperatures": np.array(TEMPERATURES, np.float32),
        "totals": totals,
        "lambdas": np.array([0.0, 1.0]),
    }
    header = study_header("span", "made", False, "0" * 64, parts=[*parts])
    return Stored(header, {}, arrays)


def verdicts_of(records, words):
    rows = verdicts(span_frame(records), records)
    return [row[2] for row in rows if words in row[0]]


def test_a_part_of_the_items_has_all_clicks_on_them(tmp_path):
    ratings = ratings_of(str(write_tastes(tmp_path / "made")), None)
    part = taken(ratings, Part("items", 4), seed=1)
    kept = np.unique(part.item)
    assert len(kept) == len(ratings.items.id) // 4
    mine = np.isin(ratings.item, kept)
    for name in ("user", "item", "rating", "timestamp", "part"):
        np.testing.assert_array_equal(getattr(part, name), getattr(ratings, name)[mine])
    other = np.unique(taken(ratings, Part("items", 4), seed=2).item)
    assert set(other) != set(kept)


def test_a_part_of_the_clicks_is_of_all_items(tmp_path):
    ratings = ratings_of(str(write_tastes(tmp_path / "made")), None)
    part = taken(ratings, Part("clicks", 4), seed=1)
    n = len(ratings.item)
    assert abs(len(part.item) - n / 4) < 4 * np.sqrt(n * 3 / 16)
    assert len(np.unique(part.item)) > 0.9 * len(np.unique(ratings.item))
    whole = taken(ratings, Part("whole", 1), seed=1)
    np.testing.assert_array_equal(whole.item, ratings.item)


def test_a_large_data_set_is_measured_by_its_parts_alone():
    assert [str(part) for part in parts_of("ml-100k", False)] == [*PARTS]
    assert [str(part) for part in parts_of("data/electronic", False)] == [*PARTS[1:]]
    large = ["items/4", "clicks/4", "items/16", "clicks/16"]
    assert [str(part) for part in parts_of("data/movie", False)] == large
    assert [str(part) for part in parts_of("data/gowalla", False)] == ["whole"]
    assert [str(part) for part in parts_of("ml-1m", True)] == ["whole", "items/4"]


def test_every_model_takes_as_many_steps(monkeypatch):
    steps = []

    def counted(config, phase):
        steps.append(config.epochs * (len(phase.fitted.item) // config.batch))
        return trained(config, phase)

    trained = span.train
    monkeypatch.setattr(span, "train", counted)
    found = dict(measured(Config(batch=64, dim=8), made_fold(), 50))
    an_epoch = len(made_fold().fitted.item) // 64
    assert len(steps) == 2
    assert all(50 <= n < 50 + an_epoch for n in steps)
    assert found["recall"].shape == (2, len(MORE_TOTALS))
    counts = made_fold().fitted.item_counts
    assert found["items"] == (counts > 0).sum()
    shares = counts[counts > 0] / counts.sum()
    assert found["entropy"] == pytest.approx(-(shares * np.log(shares)).sum())
    spread = np.log(counts.max() / counts[counts > 0].min())
    assert found["log_range"] == pytest.approx(spread)


def test_at_a_total_that_is_all_in_the_loss_no_prior_is_added():
    """Without log q in the loss the first total, with it the fifth, is as trained."""
    config = dataclasses.replace(Config(batch=64, dim=8), temperature=0.2)
    phase = made_fold()
    recall = dict(measured(config, phase, 50))["recall"]
    for row, (strength, at) in enumerate(((0.0, 0), (1.0, 4))):
        epochs = -(-50 // (len(phase.fitted.item) // 64))
        run = prepare(dataclasses.replace(config, logq=strength, epochs=epochs), phase)
        done = train(run.config, run.fold)
        vectors = done.user_vectors, done.item_vectors
        scorer = serve(run, *vectors, serving=Serving(min_clicks=1))
        (plain,) = metric_means(run, scorer, ["recall"])
        assert recall[row, at] == plain


def test_the_predicted_line_is_none_and_then_rises():
    assert predicted(np.array([0.5, 1.45, 2.0, 3.6])).tolist() == [0, 0, 0.4, 0.8]
    assert predicted(np.array(1.725)) == pytest.approx(0.2)


def test_verdicts_hold_where_the_shift_is_as_predicted():
    records = made()
    assert verdicts_of(records, "of the line") == ["holds"] * 12
    assert verdicts_of(records, "shifted less than clicks/4") == ["holds"] * 3
    assert verdicts_of(records, "orders the shifts") == ["holds"]
    assert verdicts_of(records, "better than the temperature alone") == ["holds"]


def test_what_may_order_the_shifts_is_the_temperature_times_each_number():
    records = made()
    records.arrays["entropy"] = np.log(records.arrays["items"]) - 1.0
    frame = span_frame(records)
    log_items = np.log([SIZES[part] for part in frame.part])
    for name, number in (
        ("x", log_items),
        ("by_range", log_items / 2),
        ("by_entropy", log_items - 1.0),
    ):
        np.testing.assert_allclose(frame[name], frame.temperature * number, rtol=1e-5)


def test_one_part_says_nothing_of_what_orders_the_shifts():
    whole = made(parts=PARTS[:1])
    assert verdicts_of(whole, "of the line") == ["holds"] * 4
    assert len(verdicts(span_frame(whole), whole)) == 4


def test_verdicts_fail_where_the_temperature_alone_decides():
    by_temperature = made(lambda x, part: predicted(x / np.log(SIZES[part]) * 9.0))
    found = verdicts_of(by_temperature, "shifted less than clicks/4")
    assert "holds" not in found
    assert verdicts_of(by_temperature, "better than the temperature alone") == ["fails"]
    assert "fails" in verdicts_of(by_temperature, "of the line")


def test_a_run_makes_records_table_page_and_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(span, "Config", small)
    folder = write_tastes(tmp_path / "made")
    options = StudyOptions(tmp_path / "out", str(folder), seeds=1, quick=True)
    path = run_span(options)
    records = load_stored(path)
    assert records.header["parts"] == ["whole", "items/4"]
    assert records.arrays["recall"].shape == (2, 1, 1, 2, len(MORE_TOTALS))
    whole, quarter = records.arrays["items"].mean(axis=(1, 2))
    assert quarter == pytest.approx(whole / 4, abs=2)
    page_of(path, tmp_path / "out")


def small(**changes) -> Config:
    """A config that a few hundred clicks fill a batch of."""
    return Config(**{**changes, "batch": 32, "dim": 8})


def test_the_figure_shows_each_cell_beside_the_line():
    drawing = report_span(made()).drawings["-shifts"]
    assert len(drawing.points) == 12
    (axes,) = drawing.figure.axes
    names = ["whole", "1/4 items", "1/4 clicks"]
    names += [f"temperature {t:g}" for t in sorted(set(drawing.points.temperature))]
    assert axes.get_legend_handles_labels()[1] == ["predicted", *names]
    drawn = {
        (bars.lines[0].get_xdata()[0], bars.lines[0].get_color())
        for bars in axes.containers
    }
    inks = drawing.points.temperature.map(temperature_ink)
    assert drawn == {*zip(drawing.points.x, inks, strict=True)}


def test_the_phase_of_a_part_is_judged_by_its_own_test_clicks(tmp_path):
    ratings = ratings_of(str(write_tastes(tmp_path / "made")), None)
    part = taken(ratings, Part("items", 4), seed=0)
    phase = fold(catalogue(part), "given")
    assert phase.fitted.n_items <= len(ratings.items.id) // 4
    assert len(phase.held_item) == (part.part == ratings.part.max()).sum()
