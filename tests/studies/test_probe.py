"""The probe on synthetic data; its records, tables and figures from made numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.arms import arm as arm_of
from experiments.output.folders import RECORDS_VERSION
from experiments.studies import STUDIES
from experiments.studies.probe import (
    FAITHFUL,
    SMALL,
    ZERO,
    Measurement,
    ProbeRunner,
    bias_table,
    compile_error,
    draw_many,
    make_drawer,
    make_point,
    of_items,
    packed,
    probe,
)
from experiments.studies.probe.estimators import (
    ESTIMATORS,
    BiasEstimate,
    full_gradient,
    probed_arm,
)
from experiments.studies.probe.recipes import recipe_bias
from experiments.study import report_study, save_study
from research.config import Config
from research.files import write_arrays
from research.losses import LOSSES
from research.losses.entry import VECTORS
from research.prepare import prepare
from research.report.records import load_stored, save_stored, study_header
from research.train.run_state import init_state
from research.types import InputError
from tests.world import made_fold

N = 64


@pytest.fixture(scope="module")
def run():
    return prepare(Config(dim=8, user_hidden=(8,), item_hidden=(8,)), made_fold())


@pytest.fixture(scope="module")
def params(run):
    return init_state(run, *run.world).params


@pytest.fixture(scope="module")
def point(run, params):
    # Warm, so that a few draws are enough for the estimators with the right q.
    return make_point(run.model, params, run.world[0], 0.5, rows=256, only_fitted=True)


@pytest.fixture(scope="module")
def found(point):
    runner = ProbeRunner(Config(), point.world.pool, width=N)
    forms = ("in-batch", "in-batch+logq", "mixed-unigram-q", "mixed+logq")
    cells = [
        Measurement("made", "untrained", "fitted", form, False, N, question)
        for form, question in (*((form, FAITHFUL) for form in forms), (forms[1], ZERO))
    ]
    return {(c.estimator, c.question): p for c, p in runner.measure(point, cells, m=6)}


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("in-batch", "in-batch+logq"), ("mixed-unigram-q", "mixed+logq")],
)
def test_the_probe_ranks_wrong_above_right(found, wrong, right):
    assert found[wrong, FAITHFUL].bias > 2 * found[right, FAITHFUL].bias


def test_yi_is_at_zero_at_the_truth(found):
    found = found["in-batch+logq", ZERO]
    assert found.bias < 3 * found.error + 1e-3
    assert np.isnan(found.cosine)


def test_the_catalogue_is_the_exact_softmax(point):
    config = dataclasses.replace(arm_of("full-softmax"), batch=2)
    arm = probed_arm(config, point.world.pool)
    ready = compile_error(arm, width=point.scores.shape[1])
    draws = draw_many(point, make_drawer(arm), 3)
    assert probe(point, ready, draws, at_truth=False).bias < 1e-4


def test_what_item_vectors_get_is_the_gradient_of_the_loss(run, params, point):
    every = jnp.arange(point.scores.shape[1])
    items = run.model.serve_items(params, point.world, every)

    def loss(items):
        scores = point.users @ items.T / point.temperature
        never = point.world.pool.counts[None, :] > 0
        logp = jax.nn.log_softmax(jnp.where(never, scores, -1e6), axis=1)
        return -jnp.mean(jnp.take_along_axis(logp, point.positive[:, None], axis=1))

    got = of_items(point, full_gradient(point.scores, point.positive))
    np.testing.assert_allclose(got, jax.grad(loss)(items).ravel(), atol=1e-6)


def test_a_loss_that_needs_vectors_is_refused(point):
    name = next(name for name, loss in LOSSES.items() if VECTORS in loss.needs)
    with pytest.raises(ValueError, match="scores alone"):
        probed_arm(dataclasses.replace(Config(), loss=name), point.world.pool)


def made_records(out):
    """The file of records of made measurements."""
    found = [
        (
            Measurement("made", model, "fitted", form, False, n, question),
            BiasEstimate(0.7 if form == "in-batch" else 0.02, 0.01, 0.9, 2),
        )
        for model in ("untrained", "trained")
        for form in ESTIMATORS
        for n in (16, 64)
        for question in (ZERO, FAITHFUL)
    ]
    found += [
        (
            Measurement(SMALL, "made", "whole", form, masked, n, ZERO),
            BiasEstimate(0.1, 0, 1, 2),
        )
        for form in ESTIMATORS
        for masked in (False, True)
        for n in (2, 4)
    ]
    header = study_header("probe", "made", True, rows=8)
    arrays, content = packed(found)
    return save_study(out, header, arrays, **content)


@pytest.mark.slow
def test_tables_and_figures_come_from_the_records_alone(tmp_path):
    path = made_records(tmp_path)
    written = report_study(STUDIES["probe"], path, tmp_path / "a")
    again = report_study(STUDIES["probe"], path, tmp_path / "b")
    assert len(written) == 2 + 2
    page = (tmp_path / "a" / "tables" / "made" / "probe.md").read_text()
    assert "A quick run" in page
    assert "n = 64" in page
    line = next(line for line in page.splitlines() if line.startswith("| `in-batch` |"))
    assert line.split("|")[2].strip() == "no"
    for one, two in zip(written, again, strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_the_table_says_what_is_right_and_what_is_measured(tmp_path):
    frame = bias_table(load_stored(made_records(tmp_path)))
    wrong = frame[(frame.form == "in-batch") & (frame.world == "made")].bias
    right = frame[(frame.form == "in-batch+logq") & (frame.world == "made")].bias
    assert wrong.min() > 3 * right.max()
    assert set(frame[frame.world == SMALL].bias) == {0.1}


MADE = study_header("probe", "made", quick=False)
NEWER = RECORDS_VERSION + 1


@pytest.mark.parametrize(
    ("name", "header", "line"),
    [
        ("probe", None, "not a file of records"),
        ("probe", {**MADE, "grid": "other"}, "records of other, not of probe"),
        ("probe", {"grid": "probe"}, "no dataset and no quick"),
        ("dial", {**MADE, "grid": "dial"}, r"x\.npz: not what study dial reads"),
        ("magnifier", {**MADE, "grid": "magnifier"}, "not what study magnifier reads"),
        ("probe", MADE, "not what study probe reads .*; older .* commit 58129723"),
        ("probe", {**MADE, "results_version": NEWER}, f"of version {NEWER}"),
    ],
)
def test_another_file_is_refused(name, header, line, tmp_path):
    path, arrays = tmp_path / "x.npz", {"measured": np.zeros((2, 3))}
    if header is None:
        write_arrays(path, arrays)
    else:
        save_stored(path, header, arrays)
    with pytest.raises(InputError, match=line):
        report_study(STUDIES[name], path, tmp_path)


MIXTURE = ("in-batch", "uniform:1024")


@pytest.fixture(scope="module")
def bias():
    names = ("in-batch", "in-batch+logq", "recipe-added", "recipe-mixture")
    return {name: recipe_bias(arm_of(name)) for name in names}


def test_a_recipe_with_the_right_q_has_no_bias_and_with_the_wrong_sign_most(bias):
    assert bias["in-batch+logq"] < 1e-3
    assert 0.05 < bias["recipe-mixture"] < bias["in-batch"] < bias["recipe-added"]


def test_a_mixture_with_its_own_q_has_little_of_it(bias):
    """Not zero: the two sources' shares of so few draws are fixed, not drawn."""
    config = dataclasses.replace(arm_of("in-batch+logq"), negatives=MIXTURE)
    assert recipe_bias(config) < 0.1 * bias["recipe-mixture"]


def test_the_temperature_is_no_part_of_a_recipes_bias(bias):
    config = dataclasses.replace(arm_of("in-batch"), temperature=1.0)
    assert recipe_bias(config) == pytest.approx(bias["in-batch"], abs=1e-4)


@pytest.mark.parametrize(
    "name", ["recipe-bare-sigmoid", "recipe-inclusion", "full-softmax", "bpr"]
)
def test_what_cannot_be_enumerated_has_none(name):
    assert np.isnan(recipe_bias(arm_of(name)))
