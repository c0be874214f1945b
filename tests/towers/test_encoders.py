"""History encoders: values by hand, order, and what an empty history gives."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import Config
from research.prepare import check_config, prepare
from research.towers import ENCODERS
from research.towers.inputs import UserInput, Words
from research.types import InputError
from tests.world import made_fold

B, L, D, W = 5, 7, 4, 2
KEPT = (7, 3, 1, 0, 6)
NAMES = sorted(name for name, entry in ENCODERS.items() if entry.module)
ORDERED = ("last-click", "profile", "self-attention")


def users(seed: int = 0, kept: tuple[int, ...] = KEPT) -> UserInput:
    """Users with histories of these lengths; where nothing is there, rows are 1e3.

    Who has no history has no search either; who has a short one, as few words.
    """
    draw = np.random.default_rng(seed)
    keep = np.arange(L)[None, :] < np.array(kept)[:, None]
    rows = np.where(keep[..., None], draw.normal(size=(len(kept), L, D)), 1e3)
    there = keep[:, :W]
    words = np.where(there[..., None], draw.normal(size=(len(kept), W, D)), 1e3)
    return UserInput(
        history=jnp.asarray(rows, jnp.float32),
        keep=jnp.asarray(keep),
        rows={"age": jnp.asarray(draw.normal(size=(len(kept), 3)), jnp.float32)},
        dense=jnp.asarray(draw.normal(size=(len(kept), 2)), jnp.float32),
        words=Words(jnp.asarray(words, jnp.float32), jnp.asarray(there)),
    )


@functools.cache
def made(name: str) -> tuple[Any, Any]:
    """An encoder's function, jitted, and parameters of a size that shows."""
    encoder = ENCODERS[name].module()
    params = encoder.init(jax.random.key(0), users())
    draw = np.random.default_rng(1)
    params = jax.tree.map(
        lambda p: jnp.asarray(draw.normal(size=p.shape), p.dtype), params
    )
    return jax.jit(encoder.apply), params


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_there_changes_nothing(name):
    """The rows behind the history, 1e3 here, might as well be 0."""
    encode, params = made(name)
    given = users()
    blank = given._replace(history=jnp.where(given.keep[..., None], given.history, 0.0))
    np.testing.assert_array_equal(encode(params, given), encode(params, blank))


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_history_is_zeros_with_a_gradient_of_zero(name):
    encode, params = made(name)
    given = users()

    def total(params: Any, history: jax.Array) -> jax.Array:
        return jnp.sum(encode(params, given._replace(history=history)) ** 2)

    assert (np.asarray(encode(params, given))[3] == 0).all()
    of_params, of_rows = jax.jit(jax.grad(total, argnums=(0, 1)))(params, given.history)
    for leaf in jax.tree.leaves((of_params, of_rows)):
        assert jnp.isfinite(leaf).all()
    assert (np.asarray(of_rows)[~np.asarray(given.keep)] == 0).all()
    assert (np.asarray(of_rows)[0] != 0).any()
    alone = users(kept=(0, 0))
    assert (np.asarray(encode(params, alone)) == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_one_user_is_encoded_without_the_others(name):
    encode, params = made(name)
    given = users()
    every = np.asarray(encode(params, given))
    one = encode(params, jax.tree.map(lambda x: x[1:2], given))
    np.testing.assert_allclose(one[0], every[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_order_matters_where_it_is_said_to(name):
    encode, params = made(name)
    given = users(kept=(7, 7, 7, 7, 7))
    turned = given._replace(history=given.history[:, ::-1])
    same = np.allclose(encode(params, given), encode(params, turned), atol=1e-4)
    assert same is (name not in ORDERED)


def test_the_mean_by_hand():
    encode, _ = made("mean")
    given = users()
    out = np.asarray(encode({}, given))
    for row, n in enumerate(KEPT[:3]):
        expected = np.asarray(given.history)[row, :n].mean(axis=0)
        np.testing.assert_allclose(out[row], expected, rtol=1e-5)


def weights(query: np.ndarray, keys: np.ndarray) -> np.ndarray:
    score = [math.fsum(query * key) / math.sqrt(len(query)) for key in keys]
    total = math.fsum(math.exp(s) for s in score)
    return np.array([math.exp(s) / total for s in score])


def test_the_last_click_by_hand():
    encode, params = made("last-click")
    given = users()
    out = np.asarray(encode(params, given))
    w_query, w_key = (
        np.asarray(params["params"][n]["kernel"]) for n in ("query", "key")
    )
    rows = np.asarray(given.history)[1, :3]
    weight = weights(rows[0] @ w_query, rows[1:] @ w_key)
    expected = np.concatenate([rows[0], weight @ rows[1:]])
    np.testing.assert_allclose(out[1], expected, rtol=1e-4, atol=1e-5)
    # With a single click there is nothing earlier: it stands alone.
    alone = np.concatenate([np.asarray(given.history)[2, 0], np.zeros(D)])
    np.testing.assert_allclose(out[2], alone, rtol=1e-6)


def test_the_profile_by_hand():
    encode, params = made("profile")
    given = users()
    tree = {
        n: {k: np.asarray(v) for k, v in layer.items()}
        for n, layer in params["params"].items()
    }
    rows = np.asarray(given.history)[4, :6]
    known = np.concatenate([given.rows["age"][4], given.dense[4]])
    query = np.tanh(known @ tree["query"]["kernel"] + tree["query"]["bias"])
    short = weights(query, rows[:5] @ tree["short"]["kernel"]) @ rows[:5]
    long = weights(query, rows @ tree["long"]["kernel"]) @ rows
    inner = np.concatenate([short, long, known]) @ tree["gate"]["kernel"]
    gate = 1 / (1 + np.exp(-(inner + tree["gate"]["bias"])))
    expected = gate * short + (1 - gate) * long
    np.testing.assert_allclose(encode(params, given)[4], expected, rtol=1e-4, atol=1e-5)


def test_the_learned_query_is_one_for_all():
    encode, params = made("learned")
    given = users()
    query, key = params["params"]["query"], params["params"]["key"]["kernel"]
    rows = np.asarray(given.history)[1, :3]
    weight = weights(np.asarray(query), rows @ np.asarray(key))
    np.testing.assert_allclose(encode(params, given)[1], weight @ rows, rtol=1e-4)


def test_the_search_by_hand():
    encode, params = made("query")
    given = users()
    out = np.asarray(encode(params, given))
    w_query, w_key = (
        np.asarray(params["params"][n]["kernel"]) for n in ("query", "key")
    )
    for row, n in ((0, 7), (1, 3), (2, 1)):
        words = np.asarray(given.words.rows)[row, : min(n, W)].mean(axis=0)
        rows = np.asarray(given.history)[row, :n]
        weight = weights(words @ w_query, rows @ w_key)
        expected = np.concatenate([words, weight @ rows])
        np.testing.assert_allclose(out[row], expected, rtol=1e-4, atol=1e-5)
    # Who types nothing has a history that is averaged.
    silent = Words(given.words.rows, jnp.zeros((B, W), bool))
    rows = np.asarray(given.history)[1, :3]
    expected = np.concatenate([np.zeros(D), rows.mean(axis=0)])
    out = encode(params, given._replace(words=silent))
    np.testing.assert_allclose(out[1], expected, rtol=1e-5, atol=1e-6)


def test_self_attention_is_causal():
    """What the last click is told of an older one doesn't depend on a newer one."""
    from research.towers.towers import SelfAttention

    encoder = SelfAttention()
    _, params = made("self-attention")
    # The same history, its newest two clicks taken off: positions move with the rows,
    # so the positions of the parameters are moved along.
    given = users(kept=(7,) * 5)
    shifted = given._replace(
        history=jnp.concatenate([given.history[:, 2:], given.history[:, :2]], axis=1),
        keep=jnp.broadcast_to(jnp.arange(L) < L - 2, (5, L)),
    )
    table = params["params"]["position"]
    moved = {**params["params"], "position": jnp.roll(table, -2, axis=1)}
    _, whole = encoder.apply(params, given, capture_intermediates=True)
    _, part = encoder.apply({"params": moved}, shifted, capture_intermediates=True)
    name = "MultiHeadDotProductAttention_0"
    one = whole["intermediates"][name]["__call__"][0]
    two = part["intermediates"][name]["__call__"][0]
    np.testing.assert_allclose(one[:, 2:], two[:, : L - 2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("d", "heads"), [(8, 4), (6, 1)])
def test_self_attention_has_four_heads_where_they_share_the_width(d, heads):
    encoder = ENCODERS["self-attention"].module()
    given = users()._replace(history=jnp.ones((B, L, d)))
    shapes = jax.eval_shape(encoder.init, jax.random.key(0), given)["params"]
    for name in ("query", "key", "value"):
        kernel = shapes["MultiHeadDotProductAttention_0"][name]["kernel"]
        assert kernel.shape == (d, heads, d // heads)


def test_attention_by_the_candidate_is_refused_with_the_reason():
    assert "target-attention" not in ENCODERS
    with pytest.raises(InputError, match="joins the towers"):
        check_config(Config(encoder="target-attention"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"encoder": "profile", "user_features": ()}, "attends by the user's features"),
        ({"encoder": "last-click", "history": 0}, "needs a history"),
    ],
)
def test_an_encoder_with_nothing_to_ask_by_is_refused(changes, reason):
    with pytest.raises(InputError, match=reason):
        prepare(Config(**changes), made_fold())
