"""Hard negatives: the hardest of what was drawn, bands of ranks, no q for either."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.arms import arm
from research.logits.reducers import Dense, hardest
from research.negatives import make_sources
from research.negatives.bands import rank_bands
from research.negatives.laws import batch_of, pool_of
from research.train.loop import train
from research.train.run_state import refreshed
from tests.evaluate.near import assert_same_lists
from tests.negatives.small import with_own
from tests.train.begun import SMALL, begun
from tests.world import made_fold


def test_the_hardest_are_the_highest_of_those_kept():
    draw = np.random.default_rng(0)
    z, keep = draw.normal(size=(6, 9)), draw.random((6, 9)) < 0.6
    keep[5] = False
    dense = Dense(jnp.asarray(z, jnp.float32), jnp.asarray(keep))
    chosen = hardest(dense, 3)
    assert chosen.z.shape == (6, 3)
    for row in range(6):
        best = np.sort(z[row, keep[row]])[::-1][:3]
        found = np.asarray(chosen.z[row])[np.asarray(chosen.keep[row])]
        np.testing.assert_allclose(found, best, rtol=1e-6)


def test_a_band_holds_the_ranks_asked_for():
    draw = np.random.default_rng(0)
    users = draw.normal(size=(300, 4)).astype(np.float32)
    items = draw.normal(size=(50, 4)).astype(np.float32)
    scores = users @ items.T
    order = np.argsort(-scores, axis=1, kind="stable")
    bands = rank_bands(jnp.asarray(users), jnp.asarray(items), 11, 20)
    assert_same_lists(np.asarray(bands), order[:, 10:20], scores)
    # Ties go to the lower index.
    flat = rank_bands(jnp.zeros((1, 4)), jnp.asarray(items), 3, 5)
    assert flat.tolist() == [[2, 3, 4]]


def test_a_row_draws_from_its_own_querys_band():
    (source,) = make_sources(("rank-band:40",), SMALL)
    bands = jnp.array([[1, 2], [3, 4], [5, 0]], jnp.int32)
    batch = batch_of([0, 0, 0])
    ids = source.draw(jax.random.key(0), batch, bands, pool_of()).ids
    assert [set(np.unique(row)) for row in np.asarray(ids)] == [{1, 2}, {3, 4}, {5, 0}]


def test_bands_are_ranked_anew_by_the_current_model():
    config = with_own(arm("rank-band", SMALL), low=5, high=9)
    run, world, start, _ = begun(config)
    state = refreshed(run, start, world)
    bands = state.source_states[1]
    assert bands.shape == (made_fold().fitted.n_users, 5)
    item = jax.tree.map(lambda leaf: -leaf, state.params["tables"])
    moved = state._replace(params={**state.params, "tables": item})
    again = refreshed(run, moved, world).source_states[1]
    assert not np.array_equal(bands, again)
    done = train(config, made_fold())
    assert done.history[-1]["loss"] < done.history[0]["loss"]
