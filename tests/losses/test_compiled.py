"""Losses compiled as users have them: the other tests compile in haste."""

import json
import os

import numpy as np
import pytest

from tests.losses.test_values import HAND, KEEP, POSITIVE, ROWS, Z, losses_of
from tests.process import python

OF_CONTEXT = {  # they read more than logits, of two rows
    *("lambda-rank", "lambda-loss", "lambda-loss-at-k", "sl-at-k", "adv-info-nce"),
}
NAMES = [name for name in HAND if name not in OF_CONTEXT]
COPIES = 64  # of the two rows, so that loops are over whole vectors of numbers
AS_THE_COMMAND_LINE = """
from research.compiler import set_one_thread, set_xla_flags
set_xla_flags()
set_one_thread()
from tests.losses.test_compiled import print_losses
print_losses()
"""


def print_losses() -> None:
    """The compiled losses of many copies of the rows, {name: [values]}, as JSON."""
    import jax

    rows = [np.tile(np.asarray(x), (COPIES, *[1] * np.ndim(x[0]))) for x in (Z, KEEP)]
    positive, (z, keep) = np.tile(np.array(POSITIVE), COPIES), rows
    found = {}
    for name in NAMES:
        compiled = jax.jit(lambda p, x, name=name: losses_of(name, p, x, keep))
        found[name] = compiled(positive, z).tolist()
    print(json.dumps(found))


@pytest.fixture(scope="module")
def found():
    env = {**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "0", "XLA_FLAGS": ""}
    return json.loads(python("-c", AS_THE_COMMAND_LINE, env=env))


@pytest.mark.parametrize("name", NAMES)
def test_a_compiled_loss_has_its_value_by_hand(name, found):
    expected = [HAND[name](p, zs) for p, zs in ROWS] * COPIES
    np.testing.assert_allclose(found[name], expected, rtol=5e-6)
