"""The peer of replays in PyTorch, where it is installed: losses, gradients, its seed.

A user's negatives are all items but its own, in whatever order they are drawn.
"""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.bench.protocol import PEERS, Process
from experiments.studies.outside.replay import PEER
from research.logits.reducers import Dense
from research.losses import LOSSES
from research.losses.context import Context
from research.losses.top_k import Thresholds
from tests.test_repository import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (ROOT / PEERS).is_file(), reason=f"no {PEERS}: make .venv-peers/.ready"
    ),
]
USERS, ITEMS, DIM, TEMPERATURE, CUTOFF, RATE = 6, 12, 5, 0.5, 4, 0.1
COSINES = ("decoupled-softmax", "psl-relu", "sl-at-k", "adv-info-nce")
RANKED = ("lambda-rank", "lambda-loss", "lambda-loss-at-k")


class Pairs:
    """Each user's own items: four, or all but one for losses with one negative."""

    def __init__(self, loss: str) -> None:
        places = [0, 2, 5, 7] if loss in COSINES else range(ITEMS - 1)
        own = np.sort((np.arange(USERS)[:, None] + [*places]) % ITEMS)
        self.users, self.items = np.repeat(np.arange(USERS), own.shape[1]), own.ravel()
        others = [sorted({*range(ITEMS)} - {*row}) for row in own.tolist()]
        self.negatives = np.array(others)[self.users]


def answers(folder, loss: str, **changes):
    """Each epoch's loss, and the tables after it."""
    pairs = Pairs(loss)
    np.savez(folder / "pairs.npz", users=pairs.users, items=pairs.items)
    values = {name: default for name, (default, _) in LOSSES[loss].hyper.items()}
    request = {
        **{"task": "replay", "loss": loss, "temperature": TEMPERATURE, "rate": 0.0},
        **{
            "decay": 0.0,
            "dim": DIM,
            "batch": len(pairs.users),
            "epochs": 3,
            "every": 1,
        },
        **{
            "every": 1,
            "negatives": pairs.negatives.shape[1],
            "seed": 7,
            "repetition": 0,
        },
        **{"sizes": [USERS, ITEMS], "cosine": loss in COSINES, "out": str(folder)},
        **{"cutoffs": 4, "pairs": str(folder / "pairs.npz")},
        **changes,
        "hyper": values | changes.get("hyper", {}),
    }
    out = []
    with contextlib.closing(Process(ROOT / PEERS, PEER, request)) as peer:
        for _ in range(request["epochs"]):
            answer = peer.ask()
            with np.load(answer["tables"]) as file:
                out.append((answer["loss"], [file[name] for name in file.files]))
    return out


def of_pairs(loss: str, tables, thresholds=None, **hyper):
    """The same loss by the function that training here uses, [pairs]."""
    if loss in COSINES:
        tables = [t / jnp.linalg.norm(t, axis=1, keepdims=True) for t in tables]
    users, items = map(jnp.asarray, tables)
    pairs, scale = Pairs(loss), TEMPERATURE if loss in COSINES else 1.0
    logits = users[pairs.users] @ items.T / scale
    columns = jnp.take_along_axis(logits, jnp.array(pairs.negatives), axis=1)
    levels = jnp.zeros(USERS) if thresholds is None else thresholds
    state = Thresholds(levels[pairs.users], jnp.zeros((len(pairs.users), 0), int))
    values = {name: default for name, (default, _) in LOSSES[loss].hyper.items()}
    values |= {"temperature": TEMPERATURE, **hyper}
    return LOSSES[loss](
        logits[np.arange(len(pairs.users)), pairs.items],
        Dense(columns, jnp.ones(columns.shape, bool)),
        jax.tree.map(jnp.asarray, values),
        Context(
            *(users[pairs.users], items[pairs.items]),
            *(jax.lax.stop_gradient(logits), state),
        ),
    )


@pytest.mark.parametrize("loss", [n for n in COSINES if n != "adv-info-nce"])
def test_losses_of_cosines_are_those_of_training_here(loss, tmp_path):
    value, tables = answers(tmp_path, loss, hyper={"every": 9.0})[0]
    assert value == pytest.approx(float(of_pairs(loss, tables).mean()), rel=1e-5)


@pytest.mark.parametrize("loss", RANKED)
def test_ranked_losses_are_those_of_training_here(loss, tmp_path):
    value, tables = answers(tmp_path, loss, hyper={"cutoff": float(CUTOFF)})[0]
    here = of_pairs(loss, tables, cutoff=float(CUTOFF)).mean()
    assert value == pytest.approx(float(here), rel=1e-5)


def test_thresholds_are_the_highest_scores_of_a_rank(tmp_path):
    hyper = {"every": 2.0, "cutoff": float(CUTOFF)}
    looks = answers(tmp_path, "sl-at-k", hyper=hyper)
    (first, tables), (second, _), (third, _) = looks
    assert first == second  # set after each batch of epoch 2
    users, items = (t / np.linalg.norm(t, axis=1, keepdims=True) for t in tables)
    highest = np.sort(users @ items.T, axis=1)[:, -CUTOFF]
    here = of_pairs("sl-at-k", tables, thresholds=jnp.array(highest))
    assert third == pytest.approx(float(here.mean()), rel=1e-5)
    assert abs(third - first) > 0.01


def test_an_opponent_raises_the_loss_and_nothing_else_moves(tmp_path):
    hyper = {"every": 2.0, "opponent_rate": 0.1}
    first, second, third = answers(tmp_path, "adv-info-nce", hyper=hyper, rate=0.0)
    assert first[0] == second[0] < third[0] - 0.001
    np.testing.assert_array_equal(second[1][0], third[1][0])
    moving = answers(tmp_path, "adv-info-nce", hyper=hyper, rate=RATE)
    for before, after, moved in zip(*(look[1] for look in moving), strict=True):
        np.testing.assert_array_equal(before, after)  # epoch 2 is the opponent's
        assert (after != moved).any()


@pytest.mark.parametrize("loss", ["decoupled-softmax", "psl-relu", "lambda-loss"])
def test_a_step_is_adams_along_the_gradient_of_the_loss(loss, tmp_path):
    (_, start), *_ = answers(tmp_path, loss, rate=0.0)
    (_, after), *_ = answers(tmp_path, loss, rate=RATE)
    slopes = jax.grad(lambda tables: of_pairs(loss, tables).mean())(start)
    for table, slope, moved in zip(start, slopes, after, strict=True):
        step = RATE * slope / (jnp.abs(slope) + 1e-8)
        clear = np.abs(slope) > 1e-4  # where rounding does not turn the step
        assert clear.mean() > 0.8
        np.testing.assert_allclose(moved[clear], (table - step)[clear], atol=1e-4)


def test_a_seed_gives_the_tables_and_a_repetition_those_but_for_rounding(tmp_path):
    (_, one), *_ = answers(tmp_path, "decoupled-softmax", rate=0.0)
    (_, same), *_ = answers(tmp_path, "decoupled-softmax", rate=0.0)
    (_, near), *_ = answers(tmp_path, "decoupled-softmax", rate=0.0, repetition=1)
    (_, other), *_ = answers(tmp_path, "decoupled-softmax", rate=0.0, seed=8)
    for a, b, c, d in zip(one, same, near, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert 0 < np.abs(c / a - 1).max() < 1e-5
        assert np.abs(d / a - 1).max() > 0.1
