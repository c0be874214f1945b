"""A program: the one pass over 8 devices, printed as JSON. See test_one_pass.py."""

import functools
import json
import re

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from research.logits.masks import Columns, Rows
from research.logits.one_pass import ExpectedCotangent, log_sum_exp
from research.logits.reducers import ROWS, by_rows

B, C, D = 512, 512, 16
TALK = re.compile(r"= \S+ (all-reduce|all-gather|all-to-all|collective-permute)")


def total(query, vectors, candidate, apart):
    """A softmax's loss, with the rows left to the compiler or divided by name."""
    rows = Rows(jnp.arange(B, dtype=jnp.int32), candidate, None)
    shared = Columns(candidate, None, candidate, jnp.ones(C, bool))
    expected = ExpectedCotangent(jnp.zeros(B), jnp.ones(B))
    # 8 rows a block, so that each device has several.
    reduce = functools.partial(log_sum_exp, row_block=1)
    reduce = by_rows(reduce, "rwwrwr") if apart else reduce
    found = reduce(query, vectors, jnp.zeros(C), rows, shared, expected)
    return jnp.mean(jnp.logaddexp(0.0, found))


def talks_in_loops(program: str) -> int:
    """How often devices wait for each other within the loops of a program."""
    parts = re.split(r"\n(?=[%A-Z])", program)
    bodies = set(re.findall(r"body=(%[\w.\-]+)", program))
    names = [part.split(" ", 1)[0] for part in parts]
    return sum(
        len(TALK.findall(part)) for name, part in zip(names, parts) if name in bodies
    )


def main() -> None:
    """Prints, rows told apart or not: talk in loops, and how far from one device."""
    keys = jax.random.split(jax.random.key(0), 3)
    query, vectors = (jax.random.normal(key, (B, D)) for key in keys[:2])
    given = query, vectors, jax.random.randint(keys[2], (B,), 0, 100)
    step = jax.jit(jax.value_and_grad(total, argnums=(0, 1)), static_argnums=3)
    one = step(*given, False)
    mesh = jax.make_mesh((8,), (ROWS,), axis_types=(AxisType.Auto,))
    placed = jax.device_put(given, NamedSharding(mesh, PartitionSpec(ROWS)))
    found = {}
    for told in (False, True):
        with jax.set_mesh(mesh):
            program = step.lower(*placed, told).compile()
            many = jax.device_get(program(*placed))
        pairs = zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True)
        apart = max(float(abs(a - b).max()) for a, b in pairs)
        found[str(told)] = {"talks": talks_in_loops(program.as_text()), "apart": apart}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
