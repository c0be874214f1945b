"""choose on worlds whose best model is known: popular taste, exposure."""

from pathlib import Path

import numpy as np
import pytest

from research.data.synthetic import log_clicks, make_synthetic, relevance
from tests.data.own import write

USERS, ITEMS = 1500, 500
FULL = {"in-batch+prior", "in-batch+logq", "mixed+logq", "uniform-softmax",
        "full-softmax"}  # fmt: skip


def drawn(rng, logits, n):
    """n different items of each user, by the Gumbel trick."""
    return np.argsort(-(logits + rng.gumbel(size=logits.shape)), axis=1)[:, :n]


def taste(folder, seed):
    """Popular items are the liked ones: log q belongs in the score."""
    world = make_synthetic(USERS, ITEMS, groups=32, seed=seed)
    clicks = drawn(np.random.default_rng(seed), log_clicks(world), 20)
    write_clicks(folder, clicks)


def exposure(folder, seed):
    """Popular items are the shown ones, and held-out clicks are of an even show."""
    world = make_synthetic(
        USERS, ITEMS, groups=32, quality=0.0, exposure=1.0, seed=seed
    )
    rng = np.random.default_rng(seed)
    clicks = drawn(rng, log_clicks(world), 20)
    liked = relevance(world).copy()
    np.put_along_axis(liked, clicks, -np.inf, axis=1)
    later = drawn(rng, liked, 4)
    write_clicks(folder, clicks, validation=later[:, :2], test=later[:, 2:])
    shown = np.exp(world.exposure)
    shown = np.round(1e6 * shown / shown.sum()).astype(int)
    rows = [f"i{item},{number}" for item, number in enumerate(shown)]
    write(folder / "items.csv", "\n".join(["item,impressions", *rows]) + "\n")


def write_clicks(folder, clicks, **others):
    rows = [f"u{u},i{i},train" for u, mine in enumerate(clicks) for i in mine]
    for part, later in others.items():
        rows += [f"u{u},i{i},{part}" for u, mine in enumerate(later) for i in mine]
    columns = "user,item,part" if others else "user,item"
    rows = rows if others else [row.removesuffix(",train") for row in rows]
    write(folder / "interactions.csv", "\n".join([columns, *rows]) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "right"),
    [
        (taste, FULL),
        (exposure, {"in-batch", "in-batch+prior"}),
    ],
)
def test_it_names_the_best_model_of_a_world(world, right, call, tmp_path: Path):
    """Or one from which no difference to the best is shown."""
    world(tmp_path / "world", seed=0)
    called = call("choose", tmp_path / "world", "--minutes", 3, "--out", tmp_path)
    assert called.status == 0, called
    lines = [line.split(maxsplit=1) for line in called.out.splitlines() if line]
    (named,) = {line[1].split(":")[0] for line in lines if line[0] in ("train", "use")}
    level = {line[1].split(":")[0] for line in lines if line[0] == "against"
             and "no difference shown" in line[1]}  # fmt: skip
    assert named in right or right & level
