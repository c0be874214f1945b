"""A program: a few steps on 1 and on 8 devices, printed as JSON. See test_mesh.py.

Devices are counted when jax starts, so this needs a process of its own. It is given
names of arms; "blocked NAME" has all of the arm's logits come in blocks, and "lazy-adam
NAME" moves only the rows that a step touched.
"""

import dataclasses
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from experiments.arms import arm
from research.batches import epoch_batches
from research.config import compile_key
from research.logits.reducers import LIMITS, Limits
from research.prepare import prepare
from research.train.loop import compiled_epoch
from research.train.mesh import placement_over
from research.train.run_state import init_state, traced_values
from tests.world import made_fold

SMALL = {"dim": 16, "user_hidden": (16,), "item_hidden": (16,), "batch": 64}
LARGE = 100  # rows: the made tables are large
IN_BLOCKS = Limits(one_pass=1, several_passes=1, encoded=1, column_block=1)


def steps(case: str, devices: int, several: int):
    """Losses of some steps, the first gradient as Adam saw it, and a device's share.

    Of a row-sparse optimiser the parameters after the first step, in place of the
    gradient. The share is that of the rows of a large table which one device holds.
    """
    fold, (*how, name) = made_fold(), case.split(" ")
    changes = {**SMALL, "history": 10, "user_features": ("id",)}
    changes |= {"optimiser": "lazy-adam"} if "lazy-adam" in how else {}
    run = prepare(dataclasses.replace(arm(name), **changes), fold)
    config, (world, sizes) = run.config, run.world
    placement = placement_over(devices, config.batch, LARGE)
    state = init_state(run, world, sizes)
    world, hyper = placement.world(world), traced_values(config)
    batches = epoch_batches(len(fold.fitted.item), config.batch, 0, 1)[:several]
    limits = IN_BLOCKS if "blocked" in how else LIMITS
    epoch = compiled_epoch(compile_key(config), limits=limits)
    with placement.here():
        after, _ = epoch(
            placement.state(state), placement.batches(batches[:1]), hyper, world
        )
    state = init_state(run, world, sizes)
    first = after.params
    if config.optimiser == "adamw":
        moments = (group[0].mu for group in after.optimiser)
        first = jax.tree.map(lambda m: m / 0.1, tuple(moments))
    with placement.here():
        _, seen = epoch(
            placement.state(state), placement.batches(batches), hyper, world
        )
    table = after.params["tables"]["item"]
    rows = table.sharding.shard_shape(table.shape)[0]
    return np.asarray(seen["loss"]), first, rows / table.shape[0]


def compared(name: str, devices: int) -> dict[str, float]:
    """The largest differences from one device, relative to the largest value."""
    one, many = (steps(name, n, 8) for n in (1, devices))
    worst = 0.0
    for a, b in zip(jax.tree.leaves(one[1]), jax.tree.leaves(many[1]), strict=True):
        a, b = np.asarray(a), np.asarray(b)[: len(a)] if a.ndim else np.asarray(b)
        worst = max(worst, float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-8)))
    loss = float(np.abs(one[0] - many[0]).max() / np.abs(one[0]).max())
    return {"loss": loss, "gradient": worst, "share": many[2]}


if __name__ == "__main__":
    jnp.zeros(1)
    found = {name: compared(name, int(sys.argv[1])) for name in sys.argv[2:]}
    print(json.dumps(found))
