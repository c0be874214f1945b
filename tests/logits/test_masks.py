"""Masks as each row sees them, over the columns of every kind of source."""

import jax.numpy as jnp
import numpy as np
import pytest

from research.config import Config
from research.logits.masks import UserPositives, first_of_each, rows_known
from research.negatives import make_sources
from research.negatives.source import Drawn
from research.prepare import prepare
from research.train import world
from tests.negatives.small import negatives_of
from tests.world import made_fold

CANDIDATE = np.array([0, 3, 0, 5])
IDS = np.array([3, 0, 1, 5, 5, 2])
BLOCKS = {
    "in-batch": CANDIDATE,
    "uniform:6": IDS,
    "uniform-per-row:3": np.array([[0, 1, 3], [3, 3, 0], [5, 0, 2], [4, 4, 5]]),
    "popularity:6": IDS,
    "catalogue": np.arange(6),
}
HAVE = [{0, 3}, {3}, {0, 1, 2, 5}, {2, 5}]  # each row's positive is among them


def known_of(form: str | None) -> UserPositives | None:
    """Who has what, in one of the two forms."""
    if form is None:
        return None
    if form == "bits":
        words = jnp.array([[sum(1 << i for i in own)] for own in HAVE], jnp.uint32)
        return UserPositives(words, jnp.zeros((4, 0), jnp.int32))
    ids = [sorted(own) + [6] * (4 - len(own)) for own in HAVE]
    return UserPositives(jnp.zeros((4, 0), jnp.uint32), jnp.array(ids, jnp.int32))


def usable_of(form: str | None, width: int) -> np.ndarray | None:
    """Every second column; for row 1 the others."""
    even = np.arange(width) % 2 == 0
    by_row = np.tile(even, (4, 1)) ^ (np.arange(4)[:, None] == 1)
    return {None: None, "shared": even, "by row": by_row}[form]


@pytest.mark.parametrize("usable", [None, "shared", "by row"])
@pytest.mark.parametrize("form", ["bits", "ids", None])
@pytest.mark.parametrize("same_item", [True, False])
@pytest.mark.parametrize("name", BLOCKS)
def test_masks_over_every_block_by_loops(name, same_item, form, usable):
    (source,) = make_sources((name,), Config(batch=4))
    ids = BLOCKS[name]
    may = usable_of(usable, ids.shape[-1])
    kept = None if may is None else jnp.asarray(may)
    drawn = Drawn(jnp.asarray(ids, jnp.int32), kept=kept)
    rows = jnp.asarray(CANDIDATE, jnp.int32)
    keep = np.asarray(negatives_of(source, drawn, rows, known_of(form), same_item))
    wide = np.broadcast_to(ids, keep.shape)
    may = np.broadcast_to(True if may is None else may, keep.shape)
    for b, c in np.ndindex(keep.shape):
        item, positive = int(wide[b, c]), int(CANDIDATE[b])
        allowed = may[b, c] and not (name == "in-batch" and b == c)
        if item == positive and (same_item or name == "catalogue"):
            allowed = False
        if form and item != positive and item in HAVE[b]:
            allowed = False  # another of the user's positives, not the row's own
        assert bool(keep[b, c]) is bool(allowed), (b, c)


def test_both_forms_of_who_has_what_agree_on_a_real_fold(monkeypatch):
    phase = made_fold()
    config = Config(mask_user_positives=True)
    as_bits = prepare(config, phase).world[0].known
    monkeypatch.setattr(world, "MAX_BITS", 0)
    as_ids = prepare(config, phase).world[0].known
    assert [known.bits.shape[1] > 0 for known in (as_bits, as_ids)] == [True, False]
    assert [known.ids.shape[1] > 0 for known in (as_bits, as_ids)] == [False, True]
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


def test_the_first_column_of_each_id_as_each_row_sees_it():
    """Against loops, over random columns with repeats and unusable ones."""
    draw = np.random.default_rng(0)
    for _ in range(20):
        ids, usable = draw.integers(0, 5, 12), draw.random(12) < 0.7
        given = jnp.asarray(ids, jnp.int32), jnp.asarray(usable)
        of_rows = first_of_each(*given, jnp.arange(2, 6, dtype=jnp.int32))
        shared = first_of_each(*given, None)
        assert shared.shape == (1, 12)
        views = [*zip(of_rows, range(2, 6), strict=True), (shared[0], None)]
        for row, own in views:
            seen: set[int] = set()
            for column in range(12):
                if usable[column] and column != own:
                    assert bool(row[column]) == (ids[column] not in seen)
                    seen.add(ids[column])
