"""An epoch with logits in blocks, against one with all of them held."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.batches import epoch_batches
from research.config import Config, compile_key
from research.logits.reducers import LIMITS, Limits
from research.train.loop import compiled_epoch
from research.train.model import serve_all
from tests.train.begun import begun
from tests.world import made_fold

# Without a ReLU, near whose kink training would magnify rounding.
SMALL = Config(
    batch=64,
    history=5,
    dim=8,
    user_hidden=(),
    item_hidden=(),
    negatives=("in-batch", "catalogue"),
    logq=1.0,
    mask_same_item=True,
    mask_user_positives=True,
)
# Blocks of 48 columns, or of 8 rows.
IN_BLOCKS = Limits(0, 0, column_block=48 * 64, fewest_columns=1, row_block=1)


@pytest.mark.parametrize("encoded", [1 << 16, 8], ids=["before", "inside"])
def test_an_epoch_in_blocks_is_the_epoch(encoded):
    """With the item tower run before the blocks, or inside them."""
    fold = made_fold()
    run, world, state, hyper = begun(SMALL)
    config, model = run.config, run.model
    batches = epoch_batches(len(world.pairs.candidate), config.batch, 0, 1)
    users = jnp.arange(fold.fitted.n_users, dtype=jnp.int32)
    found = []
    for limits in (LIMITS, dataclasses.replace(IN_BLOCKS, encoded=encoded)):
        epoch_of = compiled_epoch(compile_key(config), limits=limits)
        start = jax.tree.map(jnp.copy, state)  # what an epoch is given is given up
        after, diagnostics = epoch_of(start, batches, hyper, world)
        found.append((*serve_all(model, after.params, world, users), diagnostics))
    whole, blocked = found
    np.testing.assert_allclose(blocked[0], whole[0], atol=1e-4)
    np.testing.assert_allclose(blocked[1], whole[1], atol=1e-4)
    for name in ("loss", "masked"):
        one, other = (np.mean(part[2][name]) for part in found)
        np.testing.assert_allclose(other, one, rtol=1e-5)
