"""The temperature: what it is in each step, its bounds, its path, and who is warned."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import lambertw

from experiments.serve import serve
from research.config import Config
from research.entries import own
from research.negatives.source import Pool
from research.positives import log_share
from research.prepare import check_config, prepare
from research.serving import Serving
from research.temperature import kind_of, narrow_range
from research.temperature.kinds import (
    Moment,
    Temperature,
    UserTemperatures,
    init_users,
    observe_users,
    refresh_users,
)
from research.train import run_state as course
from research.train import run_state as start
from research.train import world as world_stage
from research.train.loop import compiled_epoch, train
from research.train.run_state import traced_values
from research.types import InputError, Pairs
from tests.train.test_loop import compilations
from tests.world import made_fold

SMALL = Config(
    batch=64,
    epochs=3,
    history=5,
    dim=8,
    user_hidden=(8,),
    item_hidden=(8,),
    temperature=0.1,
    table_rate=1.0,
)
COUNTS = np.array([8.0, 4.0, 2.0, 1.0, 0.0], np.float32)


def small(**changes):
    return dataclasses.replace(SMALL, **changes)


def temperature_at(config, progress=0.0, learned=None, users=()):
    ids = jnp.array([1, 0], jnp.int32)
    batch = Pairs(ids, ids, ids, jnp.ones(2))
    share = np.maximum(COUNTS, 0.3) / COUNTS.sum()
    pool = Pool(jnp.array(COUNTS), jnp.log(jnp.array(share)))
    hyper, progress = traced_values(config), jnp.float32(progress)
    moment = Moment(config, learned or {}, users, batch, pool, progress)
    return kind_of(config).at(moment, own(hyper, config.temperature_kind))


@pytest.mark.parametrize(
    ("schedule", "halfway", "quarter"),
    [("linear", 0.25, 0.325), ("cosine", 0.25, 0.25 + 0.15 * math.cos(math.pi / 4))],
)
def test_a_schedule_runs_from_the_temperature_to_its_end(schedule, halfway, quarter):
    config = small(
        temperature=0.4,
        temperature_kind=f"scheduled,end=0.1,schedule={schedule}",
    )
    expected = {0.0: 0.4, 0.25: quarter, 0.5: halfway, 1.0: 0.1}
    for progress, value in expected.items():
        assert float(temperature_at(config, progress).row) == pytest.approx(value, 1e-5)


def test_by_popularity_is_a_power_of_the_click_share_around_the_average_click():
    kind = "by-popularity,power=0.5"
    config = small(temperature=0.2, temperature_kind=kind)
    item = np.asarray(temperature_at(config).item)
    np.testing.assert_allclose(item[0] / item[2], math.sqrt(8 / 2), rtol=1e-5)
    mean = np.sum(COUNTS * np.log(item)) / COUNTS.sum()
    assert math.exp(mean) == pytest.approx(0.2, rel=1e-5)
    bounds = f"{kind},low=0.19,high=0.21"
    tight = dataclasses.replace(config, temperature_kind=bounds)
    item = np.asarray(temperature_at(tight).item)
    assert item.min() == pytest.approx(0.19)
    assert item.max() == pytest.approx(0.21)


@pytest.mark.parametrize(("served", "exponent"), [("own", 0.5), ("common", 0.0)])
def test_items_are_served_by_the_logits_that_were_trained(served, exponent):
    """By score / temperature alone, popular items stand further up."""
    fold = made_fold()
    config = small(temperature_kind=f"by-popularity,power=0.5,served={served}")
    trained = train(config, fold)
    counts = np.bincount(fold.fitted.item, minlength=fold.fitted.n_items)
    q = np.maximum(counts, 0.3) / counts.sum()
    typical = np.exp(np.sum(counts * np.log(q)) / counts.sum())
    own = np.clip(config.temperature * (q / typical) ** exponent, 0.01, 1.0)
    lengths = np.linalg.norm(trained.item_vectors, axis=1)  # of cosines: 1
    np.testing.assert_allclose(lengths, config.temperature / own, rtol=1e-4)


def test_temperatures_broadcast_over_rows_and_columns():
    ids, own = jnp.array([2, 0, 1]), jnp.array([1, 0])
    scalar = Temperature(jnp.array(0.5))
    assert scalar.own(own).shape == scalar.columns(ids).shape == ()
    rows = Temperature(jnp.array([0.5, 0.25]))
    assert rows.own(own).tolist() == [0.5, 0.25]
    assert rows.columns(ids).shape == (2, 1)
    items = Temperature(jnp.array(0.5), jnp.array([1.0, 2.0, 4.0]))
    assert items.own(own).tolist() == [2.0, 1.0]
    assert items.columns(ids).tolist() == [[4.0, 1.0, 2.0]]
    assert items.columns(ids[None, :]).tolist() == [[4.0, 1.0, 2.0]]


def test_each_user_has_the_temperature_of_its_loss():
    config = small(temperature=0.1, temperature_kind="per-user,high=0.25")
    users = init_users(config, 5)
    assert isinstance(users, UserTemperatures)
    assert np.allclose(users.temperature, 0.1)
    query = jnp.array([0, 0, 1, 2, 3])
    users = observe_users(users, query, jnp.array([1.0, 3.0, 3.0, 0.0, 7.0]))
    found = refresh_users(users, config)  # means 2, 3, 0, 7, none: over 3 by -1, 0, ...
    one = 0.1 * math.exp(-1)
    new = [one, 0.1, one, 0.25, 0.1]  # W(-1/e) = -1, W(0) = 0, bounded, unseen
    np.testing.assert_allclose(found.temperature, new, rtol=1e-4)
    assert not found.loss.any()
    wide = dataclasses.replace(config, temperature_kind="per-user,spread=4")
    w = math.log(float(refresh_users(users, wide).temperature[3]) / 0.1)
    assert w * math.exp(w) == pytest.approx(1.0, rel=1e-5)  # (7 - 3) / 4
    assert w == pytest.approx(lambertw(1.0).real, rel=1e-5)
    row = temperature_at(config, users=found).row
    np.testing.assert_allclose(row, [0.1, one], rtol=1e-4)


def test_a_learned_temperature_is_projected_into_its_bounds():
    config = small(temperature_kind="learned,low=0.05")
    hyper = own(traced_values(config), "learned")
    for start_at, end in ((0.01, 0.05), (0.3, 0.3), (7.0, 1.0)):
        learned = {"log_temperature": jnp.float32(math.log(start_at)), "bias": hyper}
        kept = kind_of(config).project(learned, hyper)["log_temperature"]
        assert math.exp(kept) == pytest.approx(end, rel=1e-5)
        assert float(temperature_at(config, learned={"log_temperature": kept}).row) == (
            pytest.approx(end, rel=1e-5)
        )
    assert kind_of(small()).project is None


def test_a_learned_temperature_moves_stays_within_and_is_what_serving_divides_by():
    fold = made_fold()
    config = small(temperature_kind="learned", learning_rate=0.05, prior=1.0)
    done = train(config, fold)
    path = [row["temperature"] for row in done.history]
    assert len({0.1, *path}) == 4
    assert all(0.01 <= t <= 1.0 for t in path)
    assert done.temperature == path[-1]
    log_t = float(done.params["loss"]["log_temperature"])
    assert math.exp(log_t) == pytest.approx(path[-1])
    tight = {"temperature_kind": "learned,low=0.0999,high=0.1001"}
    bounded = train(dataclasses.replace(config, **tight), fold)
    for row in bounded.history:
        assert 0.0998 < row["temperature"] < 0.1002
    vectors = done.user_vectors, done.item_vectors
    users, items = slice(0, 2), slice(0, len(vectors[1]))
    bias = log_share(np.bincount(fold.fitted.item, minlength=fold.fitted.n_items))
    run, prior = prepare(config, fold), config.prior
    for learned, temperature in ((done.temperature, done.temperature), (None, 0.1)):
        scorer = serve(run, *vectors, learned, Serving(prior))
        scores = np.asarray(scorer(users, items))
        expected = vectors[0][users] @ vectors[1].T / temperature + bias
        np.testing.assert_allclose(scores[:2, items], expected, rtol=1e-4, atol=1e-4)


def test_a_scheduled_temperature_ends_at_its_end_and_others_are_logged():
    fold = made_fold()
    config = small(temperature_kind="scheduled,end=0.3")
    path = [row["temperature"] for row in train(config, fold).history]
    assert path == sorted(path)
    assert path[-1] == pytest.approx(0.3, rel=1e-5)
    path = [row["temperature"] for row in train(small(epochs=1), fold).history]
    assert path == [pytest.approx(0.1)]


@pytest.mark.parametrize("best", [None, 1])
def test_a_scheduled_model_is_served_at_the_temperature_it_was_last_trained_at(best):
    """That of the last epoch, or of the one whose parameters validation keeps."""
    values = iter(float(epoch == best) for epoch in range(1, 4))
    config = small(
        temperature_kind="scheduled,end=0.3", epochs=3,
        evaluate_every=1 if best else 0, fit_on="train",
    )  # fmt: skip
    done = train(config, made_fold(), validate=lambda u, i: {"recall": next(values)})
    assert done.temperature == done.history[(best or 3) - 1]["temperature"]
    assert done.temperature > 0.14


def test_users_temperatures_are_refreshed_between_epochs():
    fold = made_fold()
    # Without a ReLU, near whose kink training would magnify rounding.
    linear = {"user_hidden": (), "item_hidden": ()}
    config = small(temperature_kind="per-user", **linear)
    path = [row["temperature"] for row in train(config, fold).history]
    assert path[0] == pytest.approx(0.1)
    assert path[1] != pytest.approx(0.1, rel=1e-3)
    # With a spread that nothing reaches they stay, and so does the run.
    still = train(small(temperature_kind="per-user,spread=1e9", **linear), fold)
    plain = train(small(**linear), fold)
    np.testing.assert_allclose(still.item_vectors, plain.item_vectors, atol=1e-4)


def test_one_compilation_over_all_that_is_traced():
    fold = made_fold()
    config = small(temperature_kind="by-popularity", loss="hinge,margin=0.5", epochs=1)
    train(config, fold)
    compiled_epoch.cache_clear()
    values = (
        {"loss": "hinge,margin=2"},
        {"loss": "hinge"},
        {"temperature_kind": "by-popularity,low=0.02,high=0.5"},
        {"temperature_kind": "by-popularity,power=0"},
        {"temperature": 0.3, "epochs": 2},
    )
    found = []
    with compilations() as seen:
        for changes in values:
            done = train(dataclasses.replace(config, **changes), fold)
            found.append(done.history[0]["loss"])
    assert sum("epoch" in name for name in seen) == 1, seen
    assert len(seen) == 1, seen
    assert len(set(found)) == len(found)


BAD = {
    "lernt": "unknown temperature_kind 'lernt'",
    "scheduled,schedule=log": "unknown scheduled's schedule 'log'",
    "learned,low=2": "learned's low is 2: it must be below high (1)",
    "learned,low=1": "learned's low is 1: it must be below",
    "scheduled,end=0": "scheduled's end is 0: it must be above 0",
    "by-popularity,power=nan": "by-popularity's power is nan: it must be finite",
    "learned,high=inf": "learned's high is inf: it must be finite",
    "learned,high=x": "learned's high is 'x': it must be a number",
    "fixed,end=0.1": "fixed takes no values",
    "learned,end=0.1": "unknown value of learned 'end'",
    "learned,low=0.1,low=0.1": "low is given twice",
    "learned,low": "low has no value",
    "learned": "temperature is 2: learned starts between",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_temperatures_are_refused_before_training(kind):
    config = small(temperature_kind=kind, temperature=2.0 if kind == "learned" else 0.1)
    for refuses in (check_config, lambda config: train(config, made_fold())):
        with pytest.raises(InputError) as error:
            refuses(config)
        assert BAD[kind] in str(error.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_bad_weights_are_refused(value):
    world, _ = prepare(SMALL, made_fold()).world
    start.check_weights(world)
    weight = world.pairs.weight.at[3].set(value)
    world = world._replace(pairs=world.pairs._replace(weight=weight))
    with pytest.raises(InputError, match="the weight of pair 3 is"):
        start.check_weights(world)
    none = world.pairs._replace(weight=jnp.zeros_like(weight))
    with pytest.raises(InputError, match="all weights"):
        start.check_weights(world._replace(pairs=none))


def test_weights_weigh_the_positives(monkeypatch):
    """A weight of 0 for half the pairs is not a weight of 1."""
    fold = made_fold()
    plain = train(small(epochs=1), fold)
    whole = world_stage.build_world

    def halved(config, fold, positives):
        world, sizes = whole(config, fold, positives)
        weight = np.arange(len(world.pairs.weight)) % 2 * np.float32(2)
        pairs = world.pairs._replace(weight=jnp.asarray(weight, jnp.float32))
        return world._replace(pairs=pairs), sizes

    monkeypatch.setattr(world_stage, "build_world", halved)
    other = train(small(epochs=1), fold)
    assert not np.allclose(plain.item_vectors, other.item_vectors, atol=1e-4)


def test_a_temperature_at_which_cosines_hardly_hold_log_q_is_said():
    counts = np.array([*np.full(1000, 3.0), 0.0])  # 1.5 / log 1000 = 0.217
    config = small(logq=1.0, temperature=0.25)
    line = narrow_range(config, counts)
    assert line is not None
    assert "at temperature 0.25 cosines of 1,000 items" in line
    bounded = narrow_range(dataclasses.replace(config, output="bounded"), counts)
    assert bounded == line.replace("cosines", "bounded dot products")
    assert "above a temperature of about 0.22" in line
    assert "\n" not in line
    for changes in ({"temperature": 0.2}, {"logq": 0.0}, {"output": "dot"}):
        assert narrow_range(dataclasses.replace(config, **changes), counts) is None
    fewer = counts[:400]  # 0.250
    assert narrow_range(dataclasses.replace(config, temperature=0.24), fewer) is None
    scheduled = {"temperature_kind": "scheduled,end=0.1"}
    assert narrow_range(dataclasses.replace(config, **scheduled), counts) is None
    assert narrow_range(config, counts[:1]) is None
    flat = small(temperature=1.0)
    assert "at temperature 1 cosines are logits within 1 of 0" in (
        narrow_range(flat, counts) or ""
    )
    for changes in ({"temperature": 0.9}, {"output": "dot"}):
        assert narrow_range(dataclasses.replace(flat, **changes), counts) is None


def test_the_range_is_said_once_a_process(capsys):
    course._warn.cache_clear()
    fold = made_fold()
    config = small(logq=1.0, temperature=3.0, epochs=1)
    train(config, fold)
    train(config, fold)
    assert capsys.readouterr().err.count("may not hold taste") == 1
