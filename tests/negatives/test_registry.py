"""The registry of sources: names, numbers of draws, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import Config
from research.negatives import SOURCES, make_sources
from research.types import InputError
from tests.negatives.small import COUNTS, batch_of, pool_of, ready

# Sources whose draws can be compared with their log q without a step before them.
DRAWABLE = [
    name
    for name, entry in SOURCES.items()
    if entry.columns == "draws"
    and entry.origin == "fresh"
    and entry.knows_q
    and not entry.by_user
]


@pytest.mark.parametrize(
    ("specs", "line"),
    [
        ((), "no source of negatives"),
        (("uniform",), "uniform needs a number of draws"),
        (("uniform:0",), "uniform needs a number of draws"),
        (("uniform:x",), "uniform needs a number of draws"),
        (("uniform:-3",), "uniform needs a number of draws"),
        (("in-batch:3",), "in-batch takes no number"),
        (("catalogue:3",), "catalogue takes no number"),
        (("in-bach",), "nearest: in-batch"),
    ],
)
def test_what_names_no_source_is_bad_input(specs, line):
    with pytest.raises(InputError, match=line) as raised:
        make_sources(specs)
    assert "\n" not in str(raised.value)


def spec_of(name: str) -> str:
    if name in ("in-batch", "catalogue"):
        return name
    return f"{name}:3" if name == "in-batch-part" else f"{name}:8"


def test_every_source_is_called_what_the_registry_calls_it():
    config = Config(batch=4)
    names = [make_sources((spec_of(name),), config)[0].name for name in SOURCES]
    assert names == list(SOURCES)


@pytest.mark.parametrize("name", DRAWABLE)
def test_a_source_draws_as_often_as_its_log_q_says(name):
    """Of any entry: as many ids as asked for, all in the catalogue, and by its q."""
    draws, pool = 40_000, pool_of()
    config = Config(batch=2, negatives=(f"{name}:{draws}",), mix=0.4)
    (source,), (state,) = ready(config, pool)
    drawn = np.asarray(
        source.draw(jax.random.key(0), batch_of([0, 1]), state, pool).ids
    )
    assert drawn.shape[-1] == draws
    assert drawn.min() >= 0
    assert drawn.max() < len(COUNTS)
    log_q = source.log_q(jnp.arange(len(COUNTS)), state, pool)
    share = np.bincount(drawn.ravel(), minlength=len(COUNTS)) / drawn.size
    seen = share > 0
    q = np.exp(np.asarray(log_q))
    np.testing.assert_allclose(share[seen], q[seen], atol=0.015)
    clicked = COUNTS > 0  # what is never drawn may have the floor for its q
    np.testing.assert_allclose(share[clicked], q[clicked], atol=0.015)
