"""Switches of the correction by hand, and masks as each row sees them."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from research.config import Config
from research.logits.correction import log_q_parts
from research.logits.masks import UserPositives, rows_known
from research.negatives import make_sources
from research.negatives.source import Drawn
from research.prepare import prepare
from research.train import world
from tests.negatives.small import negatives_of
from tests.world import made_fold

OWN = np.log([0.5, 0.2]).astype(np.float32)
COLUMNS = np.log([0.5, 0.3, 0.2]).astype(np.float32)
N = 7.0


@pytest.mark.parametrize("correct", [True, False])
@pytest.mark.parametrize("own_out", [True, False])
@pytest.mark.parametrize("count", [True, False])
@pytest.mark.parametrize("mask", [True, False])
def test_the_switches_by_hand(correct, own_out, count, mask):
    config = Config(
        correct_positive=correct,
        leave_own_out=own_out,
        expected_count=count,
        mask_same_item=mask,
    )
    parts = log_q_parts(
        config, (jnp.asarray(COLUMNS),), jnp.asarray(OWN), jnp.float32(N)
    )
    np.testing.assert_array_equal(parts.columns[0], COLUMNS)
    for b, q in enumerate((0.5, 0.2)):
        # A negative's q: Q / (1 - Q_p), times n where the count is what is expected,
        # of which a mask lets n (1 - Q_p) pass.
        expected = N * ((1 - q) if own_out and mask else 1.0) if count else 1.0
        row = expected / ((1 - q) if own_out else 1.0)
        assert math.isclose(float(parts.shift[b]), math.log(row), abs_tol=1e-6)
        own = math.log(q * row) if correct else 0.0
        assert math.isclose(float(parts.positive[b]), own, abs_tol=1e-6)


CANDIDATE = np.array([0, 3, 0, 5])
IDS = np.array([3, 0, 1, 5, 5, 2])
PER_ROW = np.array([[0, 1, 3], [3, 3, 0], [5, 0, 2], [4, 4, 5]])


def kept(name, ids, mask_same_item=False, known=None, usable=None):  # type: ignore[no-untyped-def]
    config = Config(batch=4)
    (source,) = make_sources((name,), config)
    drawn = Drawn(jnp.asarray(ids, jnp.int32), kept=usable)
    rows = jnp.asarray(CANDIDATE, jnp.int32)
    return np.asarray(negatives_of(source, drawn, rows, known, mask_same_item))


BLOCKS = [
    ("in-batch", CANDIDATE),
    ("uniform:6", IDS),
    ("uniform-per-row:3", PER_ROW),
    ("popularity:6", IDS),
    ("catalogue", np.arange(6)),
]
BLOCK_NAMES = [name for name, _ in BLOCKS]


def known_of(have: list[set[int]], form: str, items: int = 6) -> UserPositives:
    """Who has what, in one of the two forms."""
    rows = len(have)
    if form == "bits":
        words = [[sum(1 << i for i in own)] for own in have]
        return UserPositives(
            jnp.array(words, jnp.uint32), jnp.zeros((rows, 0), jnp.int32)
        )
    width = max(map(len, have))
    ids = [sorted(own) + [items] * (width - len(own)) for own in have]
    return UserPositives(jnp.zeros((rows, 0), jnp.uint32), jnp.array(ids, jnp.int32))


HAVE = [{0, 3}, {3}, {0, 1, 2, 5}, {2, 5}]  # each row's positive is among them


@pytest.mark.parametrize("form", ["bits", "ids", None])
@pytest.mark.parametrize("same_item", [True, False])
@pytest.mark.parametrize(("name", "ids"), BLOCKS, ids=BLOCK_NAMES)
def test_masks_over_every_block_by_loops(name, ids, same_item, form):
    known = known_of(HAVE, form) if form else None
    keep = kept(name, ids, same_item, known)
    wide = np.broadcast_to(ids, keep.shape)
    for b, c in np.ndindex(keep.shape):
        item, positive = int(wide[b, c]), int(CANDIDATE[b])
        allowed = not (name == "in-batch" and b == c)
        if item == positive and (same_item or name == "catalogue"):
            allowed = False
        if form and item != positive and item in HAVE[b]:
            allowed = False  # another of the user's positives, not the row's own
        assert bool(keep[b, c]) is allowed, (b, c)


def test_the_positive_itself_is_not_masked_for_being_known():
    """Else the switch would be the same-item mask too, and in-batch lose duplicates."""
    keep = kept("uniform:6", IDS, False, known_of(HAVE, "bits"))
    for b, positive in enumerate(CANDIDATE):
        assert keep[b, positive == IDS].all()
    assert kept("in-batch", CANDIDATE, False, known_of(HAVE, "ids"))[0, 2]


@pytest.mark.parametrize(("name", "ids"), BLOCKS, ids=BLOCK_NAMES)
def test_what_can_not_be_used_is_no_negative_of_any_row(name, ids):
    width = np.shape(ids)[-1]
    usable = np.arange(width) % 2 == 0
    plain, cut = kept(name, ids), kept(name, ids, usable=jnp.asarray(usable))
    np.testing.assert_array_equal(cut, plain & usable)
    by_row = np.tile(usable, (4, 1)) ^ (np.arange(4)[:, None] == 1)
    cut = kept(name, ids, usable=jnp.asarray(by_row))
    np.testing.assert_array_equal(cut, plain & by_row)


def test_both_forms_of_who_has_what_agree_on_a_real_fold(monkeypatch):
    phase = made_fold()
    config = Config(mask_user_positives=True)
    as_bits = prepare(config, phase).world[0].known
    monkeypatch.setattr(world, "MAX_BITS", 0)
    as_ids = prepare(config, phase).world[0].known
    assert as_bits.bits.shape[1]
    assert not as_bits.ids.shape[1]
    assert as_ids.ids.shape[1]
    assert not as_ids.bits.shape[1]
    fitted, n = phase.fitted, phase.fitted.n_items
    users = np.array([0, 5, 5, 59])
    candidate = fitted.item[fitted.offsets[users]]
    (source,) = make_sources(("catalogue",))
    drawn = Drawn(jnp.arange(n, dtype=jnp.int32))
    found = []
    for known in (as_bits, as_ids):
        rows = rows_known(known, jnp.asarray(users, jnp.int32))
        own = jnp.asarray(candidate, jnp.int32)
        found.append(np.asarray(negatives_of(source, drawn, own, rows)))
    np.testing.assert_array_equal(*found)
    for b, u in enumerate(users):
        has = set(fitted.item[fitted.offsets[u] : fitted.offsets[u + 1]].tolist())
        assert set(np.flatnonzero(~found[0][b]).tolist()) == has
