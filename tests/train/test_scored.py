"""Steps of losses that need more than logits, on factors: NumPy on the tables."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.arms import arm
from research.config import Config
from research.logits.reducers import Dense
from research.losses.context import StepScores
from research.losses.partial_auc import within_bounds
from research.losses.top_k import (
    Thresholds,
    kth_highest,
    kth_largest,
)
from research.prepare import check_config, prepare
from research.rng import stream
from research.train.model import serve_all
from research.train.step import TrainState
from research.types import InputError, Pairs
from tests.train.begun import begun
from tests.world import made_fold

INDEX = np.arange(0, 960, 15)  # of 64 pairs, of 60 users


class Step(NamedTuple):
    """One step: its rows, the columns drawn for them, and the states about it."""

    batch: Pairs
    ids: np.ndarray
    before: TrainState
    after: TrainState
    loss: float
    world: Any


def step_of(name: str, every: float | None = None, **changes: Any) -> Step:
    """The first step of an arm of factors, without a compilation of the whole.

    Args:
      name: of the arm.
      every: in the step, in place of the config's: with 1 its first epoch is due.
      changes: of the config.
    """
    small = {"batch": 64, "dim": 8, "negatives": ("uniform-outside:20",)}
    start = begun(Config(**{**vars(arm(name)), **small, **changes}))
    run, world, state, hyper = start
    if every is not None:
        hyper["every"] = jnp.float32(every)
    index = jnp.asarray(INDEX, jnp.int32)
    batch = Pairs(*(column[index] for column in world.pairs))
    (source,) = run.sources
    key = stream(jax.random.fold_in(state.key, state.step), f"0 {source.name}")
    drawn = np.asarray(source.draw(key, batch, (), world.pool).ids)
    ids = np.broadcast_to(drawn, (len(INDEX), drawn.shape[-1]))
    step = jax.jit(start.step())
    after, told = step(state, index, hyper, world)
    return Step(batch, ids, state, after, float(told["loss"]), world)


def scores_of(state: TrainState, batch: Pairs, *, cosine: bool) -> np.ndarray:
    """Of the rows with all items, from the tables, [b, i]."""
    user, item = (
        np.asarray(state.params["tables"][n], np.float64) for n in ("user", "item")
    )
    if cosine:
        user, item = (
            t / np.linalg.norm(t, axis=1, keepdims=True) for t in (user, item)
        )
    return user[np.asarray(batch.query)] @ item.T


def same(one: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_factors_are_the_tables_rows():
    step = step_of("mf-dot", negatives=("uniform-outside:1",))
    assert set(step.before.params["tables"]) == {"user", "item"}
    assert not jax.tree.leaves((step.before.params["user"], step.before.params["item"]))
    scores = scores_of(step.before, step.batch, cosine=False)
    rows = np.arange(len(INDEX))
    gap = scores[rows, step.ids[:, 0]] - scores[rows, np.asarray(step.batch.candidate)]
    assert step.loss == pytest.approx(np.mean(np.log1p(np.exp(gap))), rel=1e-5)
    run = prepare(Config(**{**vars(arm("mf-cosine")), "dim": 8}), made_fold())
    users, items = serve_all(
        run.model, step.before.params, step.world, jnp.arange(60, dtype=jnp.int32)
    )
    for found, name in ((users, "user"), (items, "item")):
        table = np.asarray(step.before.params["tables"][name])
        unit = table / np.linalg.norm(table, axis=1, keepdims=True)
        np.testing.assert_allclose(found, unit, rtol=1e-5)


def test_ranks_of_a_step_are_over_all_items():
    step = step_of("mf-lambda-rank", table_scale=1.0)
    scores = scores_of(step.before, step.batch, cosine=False)
    values = []
    for row, own, ids in zip(scores, np.asarray(step.batch.candidate), step.ids):
        rank = 1 + (row[None, :] > row[:, None]).sum(axis=1)
        weight = np.abs(1 / np.log2(1 + rank[own]) - 1 / np.log2(1 + rank[ids]))
        values.append(np.mean(weight * np.log1p(np.exp(row[ids] - row[own]))))
    assert step.loss == pytest.approx(np.mean(values), rel=1e-4)


@pytest.mark.parametrize(("every", "due"), [(1, True), (2, False)])
def test_thresholds_are_set_after_a_step_of_an_epoch_that_is_due(every, due):
    step = step_of("mf-sl-at-k", loss=f"sl-at-k,every={every},cutoff=5")
    assert not step.before.loss.value.any()
    kept = step.after.loss
    np.testing.assert_array_equal(kept.items, step.before.loss.items)
    scores = scores_of(step.after, step.batch, cosine=True)
    expected: dict[int, list[float]] = {}
    for row, user, ids in zip(scores, np.asarray(step.batch.query), step.ids):
        own = [i for i in np.asarray(kept.items)[user] if i >= 0]
        fifth = np.sort(np.concatenate([row[own], row[ids]]))[-5]
        expected.setdefault(int(user), []).append(fifth)
    for user, value in enumerate(np.asarray(kept.value)):
        if due and user in expected:
            assert min(abs(value - np.array(expected[user]))) < 1e-5
        else:
            assert value == 0
    assert len(expected) > 30


def test_a_threshold_is_of_items_and_columns_that_are_there():
    rows = Thresholds(jnp.zeros(1), jnp.asarray([[0, -1]], jnp.int32))
    keep = jnp.asarray([[False, True, True]])
    drawn = Dense(jnp.asarray([[8.0, 0.7, 0.1]]), keep)
    step = StepScores(jnp.asarray([[0.5, 9.0]]), drawn)
    for k, expected in ((1, 0.7), (2, 0.5), (3, 0.1)):
        found = kth_highest(rows, step, {"cutoff": jnp.float32(k)})
        assert float(found.value[0]) == pytest.approx(expected)


@pytest.mark.parametrize("negatives", ["uniform-outside:20", "uniform:20"])
def test_model_and_opponent_take_turns_and_the_opponent_climbs(negatives):
    turns = {
        every: step_of(
            "mf-adv-info-nce",
            every,
            negatives=(negatives,),
            loss="adv-info-nce,every=2,opponent_rate=0.5",
        )
        for every in (1.0, 2.0)
    }
    model, step = turns[2], turns[1]
    assert same(model.after.opponent, model.before.opponent)
    assert not same(model.after.params["tables"], model.before.params["tables"])
    assert same(step.after.params, step.before.params)
    assert same(step.after.optimiser, step.before.optimiser)

    def loss(state: TrainState) -> float:
        scores = scores_of(step.before, step.batch, cosine=True) / 0.2
        users, items = (np.asarray(t, np.float64) for t in state.opponent.tables)
        users, items = (t / np.linalg.norm(t, axis=1)[:, None] for t in (users, items))
        values = []
        for row, user, own, ids in zip(
            scores,
            np.asarray(step.batch.query),
            np.asarray(step.batch.candidate),
            step.ids,
        ):
            delta = np.exp(items[ids] @ users[user])
            delta = len(ids) * delta / delta.sum()
            total = np.exp(row[own]) + 64 * np.sum(delta * np.exp(row[ids]))
            values.append(np.log(total) - row[own])
        return float(np.mean(values))

    assert step.loss == pytest.approx(loss(step.before), rel=1e-5)
    assert loss(step.after) > step.loss + 0.01


def test_learned_values_of_llpauc_keep_their_bounds_and_rates():
    step = step_of("mf-llpauc", learning_rate=0.125)
    before, after = step.before.params["loss"], step.after.params["loss"]
    moved = {name: float(after[name] - before[name]) for name in before}
    # Adam's first step is as long as the rate, whatever the gradient.
    assert moved["slack_b"] == pytest.approx(-0.125, rel=1e-3)
    assert abs(moved["s_positive"]) == pytest.approx(0.25, rel=1e-3)
    assert abs(moved["s_negative"]) == pytest.approx(0.25, rel=1e-3)
    names = ("a", "b", "s_positive", "s_negative", "gamma", "slack_a", "slack_b")
    start = {name: jnp.float32(0.0) for name in names}
    far = {name: jnp.float32(9.0) for name in names}
    high = within_bounds(start, far, {})
    low = within_bounds(start, {name: -value for name, value in far.items()}, {})
    assert [float(high[name]) for name in names] == [1, 1, 4, 5, 1, 9, 9]
    assert [float(low[name]) for name in names] == [0, 0, -1, 0, 0, -9, -9]


def test_a_learned_bias_starts_where_hyper_says():
    # far above 0 a negative's softplus is its logit plus the bias, a positive's is 0
    steps = {
        start: step_of("mf-dot", loss=f"sigmoid,bias={start}", learning_rate=0.125)
        for start in (30, 40)
    }
    assert steps[40].loss - steps[30].loss == pytest.approx(10.0, rel=1e-4)
    moved = steps[30].after.params["loss"]["bias"] - 30.0
    assert moved == pytest.approx(-0.125, rel=1e-3)  # Adam's first step is the rate
    unset = step_of("mf-dot", loss="sigmoid")
    assert unset.before.params["loss"]["bias"] == 0.0
    zero = step_of("mf-dot", loss="sigmoid,bias=0")
    assert unset.loss == zero.loss


@pytest.mark.parametrize(
    ("start", "nearest"), [("a=2", "the nearest is 1"), ("b=-1", "the nearest is 0")]
)
def test_a_start_outside_the_bounds_of_what_is_learned_is_refused(start, nearest):
    with pytest.raises(InputError, match=f"^{start[0]} is .*{nearest}"):
        step_of("mf-llpauc", loss=f"llpauc,{start}")


REFUSED = {
    "use encoder none": {"encoder": "mean"},
    "user_features must be id": {"user_features": ("id", "age")},
    "item_features must be id": {"item_features": None},
    "user_hidden must be empty": {"user_hidden": (8,)},
    "item_hidden must be empty": {"item_hidden": (8,)},
}


@pytest.mark.parametrize("layers", ["none", "bias"])
@pytest.mark.parametrize("line", REFUSED)
def test_towers_without_layers_are_given_ids_alone(line, layers):
    config = Config(**{**vars(arm("mf-dot")), **REFUSED[line], "layers": layers})
    with pytest.raises(InputError, match=line):
        check_config(config)


def test_an_item_bias_is_the_last_number_of_its_row_and_learned():
    config = dataclasses.replace(arm("mf-dot"), layers="bias", batch=64, dim=5)
    run, world, state, _ = begun(config)
    place = jnp.arange(3, dtype=jnp.int32)
    users, items = serve_all(run.model, state.params, world, place, place)
    tables = state.params["tables"]
    np.testing.assert_array_equal(users[:, -1], np.ones(3))
    np.testing.assert_array_equal(users[:, :-1], tables["user"][:3, :-1])
    np.testing.assert_array_equal(items, tables["item"][:3])
    step = step_of("mf-dot", layers="bias", dim=5, weight_decay=0.0)
    before, after = (s.params["tables"] for s in (step.before, step.after))
    assert (before["item"][:, -1] != after["item"][:, -1]).any()
    np.testing.assert_array_equal(before["user"][:, -1], after["user"][:, -1])


@pytest.mark.parametrize("changes", [{"output": "cosine"}, {"dim": 1}], ids=str)
def test_an_item_bias_needs_a_dot_product_and_a_factor(changes):
    config = dataclasses.replace(arm("mf-dot"), layers="bias", **changes)
    with pytest.raises(InputError, match="layers bias with output"):
        check_config(config)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_kth_largest_is_that_of_sorting(dtype):
    values = np.random.default_rng(0).normal(size=(7, 30)).astype(dtype)
    values[:, :6] = -np.inf, -1e6, -0.0, 0.0, 1e-30, np.inf
    values[0] = 2.5
    with jax.enable_x64(dtype == np.float64):
        for k in (1, 2, 7, 29, 30, 31, 100):
            expected = np.sort(values, axis=1)[:, max(30 - k, 0)]
            found = kth_largest(jnp.asarray(values), jnp.int32(k))
            assert found.dtype == dtype
            np.testing.assert_array_equal(found, expected)
