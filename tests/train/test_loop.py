"""The training loop: one compilation a sweep, the same digits a seed."""

import dataclasses
import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import jax
import numpy as np
import pytest

from experiments.arms import ARMS, TOWER_ARMS, arm
from research.config import compile_key, with_values
from research.exposure import IMPRESSIONS
from research.losses import LOSSES, Loss
from research.negatives import entries_of
from research.prepare import prepare
from research.train.loop import NotFinite, compiled_epoch, train, train_together
from research.types import NUMBER, Column, Fold, Table
from tests.negatives.small import with_own
from tests.train.begun import SMALL
from tests.world import made_fold

# Towers without a ReLU, near whose kink training would magnify rounding: what two
# programs train agrees in float32.
LINEAR = dataclasses.replace(SMALL, user_hidden=(), item_hidden=())
# What differs in its towers alone is trained in the tests of what it differs by.
TRAINED = sorted(
    name for name in ARMS if arm(name).model == "two-tower" and name not in TOWER_ARMS
)


def changed_fields(name: str) -> set[tuple[str, str]]:
    """In what an arm's program differs from that of the reference recipe, by field."""
    config = dataclasses.asdict(compile_key(arm(name, SMALL)))
    reference = dataclasses.asdict(compile_key(SMALL))
    # What a loss does is in tests/losses; that each trains is seen by make test-all.
    return {
        (n, repr(value))
        for n, value in config.items()
        if value != reference[n] and n != "loss"
    }


def covering(names: list[str]) -> set[str]:
    """Few of the arms, so that each value of each field is in one of them."""
    changes = {name: changed_fields(name) for name in names}
    left, chosen = set().union(*changes.values()), set()
    while left:
        best = max(names, key=lambda name: len(changes[name] & left))
        chosen.add(best)
        left -= changes[best]
    return chosen


COVERING = covering(TRAINED)  # the others are trained by make test-all


def with_impressions(fold: Fold) -> Fold:
    """The fold with a number of impressions for each item."""
    shown = Column(NUMBER, np.linspace(1.0, 9.0, fold.fitted.n_items))
    items = Table(fold.fitted.items.id, {IMPRESSIONS: shown})
    return fold._replace(fitted=fold.fitted._replace(items=items))


@contextmanager
def compilations() -> Iterator[list[str]]:
    """Names of what the backend compiles within."""
    seen: list[str] = []

    def listen(event: str, seconds: float, **about: object) -> None:
        if "backend_compile" in event:
            seen.append(str(about.get("fun_name", "")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in COVERING else pytest.mark.slow)
        for name in TRAINED
    ],
)
def test_every_arm_trains(name):
    config = arm(name, SMALL)
    if any(named.entry.cache for named in entries_of(config.negatives, config)):
        config = dataclasses.replace(config, draws=SMALL.batch)  # full in these epochs
    config = with_own(config, low=5, high=9, warmup=8)  # of 32 steps
    fold = made_fold()
    if config.ips:
        fold = with_impressions(fold)
    with compilations() as seen:
        done = train(config, fold)
    assert sum("epoch" in name for name in seen) <= 1, seen  # both epochs share it
    losses = [row["loss"] for row in done.history]
    assert losses[-1] < losses[0]
    assert np.isfinite(done.user_vectors).all()
    norms = np.linalg.norm(done.item_vectors, axis=1)
    unit = config.output == "cosine" and config.serve_norm == "trained"
    unit &= "served=own" not in config.temperature_kind
    assert np.allclose(norms, 1, rtol=1e-5) is unit


SWEPT = {
    # temperatures, strengths and seeds
    "in-batch": [
        *(
            {"temperature": temperature, "logq": 1.0, "seed": seed}
            for temperature in (0.05, 0.1, 1.0)
            for seed in (0, 1)
        ),
        *({"logq": strength, "dropout": 0.1} for strength in (0.0, 0.5)),
    ],
    # and what sources and a click share have of their own
    "union": [
        {},
        {"extra.alpha": 0.0, "extra.mix": 0.0, "temperature": 0.05},
        {"extra.alpha": 2.0, "extra.mix": 0.5, "fifo-cache.warmup": 8, "logq": 0.5}
        | {"streaming.rate": 0.05},
    ],
}
UNION = {"negatives": ("in-batch", "extra:16", "fifo-cache:64"), "epochs": 1}


@pytest.mark.parametrize("case", SWEPT)
def test_one_compilation_of_the_epoch_over_everything_that_is_swept(case):
    fold, config = made_fold(), SMALL
    if case == "union":
        config = dataclasses.replace(SMALL, frequency="streaming", **UNION)
    train(config, fold)  # all that surrounds the epoch compiles here
    compiled_epoch.cache_clear()
    with compilations() as seen:
        for changes in SWEPT[case]:
            own = {name: value for name, value in changes.items() if "." in name}
            fields = {name: v for name, v in changes.items() if name not in own}
            changed = with_values(dataclasses.replace(config, **fields), own)
            done = train(changed, fold)
            assert np.isfinite(done.history[-1]["loss"])
    assert sum("epoch" in name for name in seen) == 1, seen
    assert len(seen) == 1, seen


def test_a_seed_repeats_to_the_last_digit_and_another_differs():
    fold = made_fold()
    one, again = train(SMALL, fold), train(SMALL, fold)
    other = train(dataclasses.replace(SMALL, seed=1), fold)
    assert np.array_equal(one.user_vectors, again.user_vectors)
    assert np.array_equal(one.item_vectors, again.item_vectors)
    assert one.history == again.history
    assert not np.array_equal(one.item_vectors, other.item_vectors)


def test_a_constant_log_q_changes_nothing():
    """uniform-softmax: its log q is the same number everywhere."""
    fold = made_fold()
    config = arm("uniform-softmax", LINEAR)
    with_q, without = (
        train(dataclasses.replace(config, logq=strength), fold)
        for strength in (config.logq, 0.0)
    )
    assert config.logq == 1.0
    np.testing.assert_allclose(with_q.item_vectors, without.item_vectors, atol=1e-4)


def test_temperature_reaches_the_model():
    fold = made_fold()
    one = train(SMALL, fold)
    other = train(dataclasses.replace(SMALL, temperature=0.5), fold)
    assert not np.allclose(one.item_vectors, other.item_vectors, atol=1e-3)


def test_a_process_keeps_the_arrays_of_its_latest_runs_alone():
    fold = made_fold()
    runs = [prepare(dataclasses.replace(SMALL, seed=n), fold) for n in range(4)]
    leaves = [jax.tree.leaves(run.world[0])[0] for run in runs]
    assert runs[3].world[0] is runs[3].world[0]
    kept = [weakref.ref(leaf) for leaf in leaves]
    del leaves
    gc.collect()
    assert [ref() is None for ref in kept] == [True, True, False, False]


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step():
    config = dataclasses.replace(SMALL, learning_rate=1e38, output="dot", epochs=4)
    with pytest.raises(NotFinite, match=r"loss not finite at step \d+"):
        train(config, made_fold())


@pytest.mark.parametrize(("patience", "epochs"), [(0, 6), (1, 3), (2, 4), (3, 6)])
def test_the_best_validated_parameters_are_kept(patience, epochs):
    """Training ends after so many validations without a better one; 0: never."""
    values = [0.1, 0.9, 0.2, 0.3, 0.95, 0.4]
    config = dataclasses.replace(
        SMALL, epochs=6, fit_on="train", evaluate_every=1, patience=patience
    )
    kept = []

    def validate(users, items):
        kept.append(items)
        return {"ndcg@20": values[len(kept) - 1]}

    done = train(config, made_fold(fit_on="train"), validate=validate)
    assert [row["ndcg@20"] for row in done.history] == values[:epochs]
    best = 4 if epochs == 6 else 1
    assert np.array_equal(done.item_vectors, kept[best])


@pytest.mark.parametrize("optimiser", ["adamw", "lazy-adam"])
def test_runs_of_one_program_are_the_runs(optimiser):
    fold = made_fold()
    base = dataclasses.replace(LINEAR, logq=1.0, optimiser=optimiser)
    configs = [
        dataclasses.replace(base, temperature=temperature, seed=seed)
        for temperature, seed in ((0.1, 0), (0.5, 0), (0.1, 1))
    ]
    told: list[tuple[int, int]] = []
    together = train_together(
        [prepare(config, fold) for config in configs],
        lambda n, epoch, row: told.append((n, epoch)),
    )
    assert told == [(n, epoch) for epoch in (1, 2) for n in range(3)]
    for config, found in zip(configs, together, strict=True):
        alone = train(config, fold)
        assert found.config == alone.config
        np.testing.assert_allclose(found.user_vectors, alone.user_vectors, atol=1e-5)
        np.testing.assert_allclose(found.item_vectors, alone.item_vectors, atol=1e-5)
        for row, other in zip(found.history, alone.history, strict=True):
            # How many lists differ is a count: one pair of near ties changes it.
            assert row.pop("distinct_lists") > 0
            del other["distinct_lists"]
            assert row == pytest.approx(other, rel=1e-4, abs=1e-5)


def test_a_run_that_is_lost_takes_no_other_of_its_program_with_it():
    fold = made_fold()
    configs = [dataclasses.replace(LINEAR, learning_rate=r) for r in (1e-3, 1e30, 1e-3)]
    one, lost, other = train_together([prepare(config, fold) for config in configs])
    assert isinstance(lost, NotFinite)
    alone = train(configs[0], fold)
    for found in (one, other):
        np.testing.assert_allclose(found.item_vectors, alone.item_vectors, atol=1e-5)


def test_runs_that_differ_in_more_are_not_of_one_program():
    fold, other = made_fold(), dataclasses.replace(SMALL, tie_seed=1)
    with pytest.raises(ValueError, match="swept fields and seed only"):
        train_together([prepare(config, fold) for config in (SMALL, other)])


def once(positive, negatives, hyper):
    return -positive


def twice(positive, negatives, hyper):
    return -2.0 * positive


def test_an_entry_given_again_under_its_name_is_trained(monkeypatch):
    fold, found = made_fold(), []
    config = dataclasses.replace(SMALL, loss="mine", learning_rate=1e-9, epochs=1)
    for function in (once, twice):
        monkeypatch.setitem(LOSSES, "mine", Loss(function))
        found.append(train(config, fold).history[0]["loss"])
    assert found[1] == pytest.approx(2 * found[0], rel=1e-3)
