"""Generated scores and held-out items, and every metric of them, by each formula.

Conventions: ``v`` users, ``i`` items, K = 20.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int
from numpy import ndarray

from research.evaluate.metrics import METRICS
from research.evaluate.top_k import rank_scores
from research.types import Record

K = 20
USERS, ITEMS = 300, 200
LEVELS = 8  # of the scores with ties
OWN = ""  # this project's formula; that of most libraries where METRICS has none
HIGHER = "ties go to the higher item index"
ALL_TIED = "whatever ties with place 20 counts as found"


class Made(NamedTuple):
    """Scores [v, i], the items left out of a user's list, and those held out."""

    scores: Float32[ndarray, "v i"]
    seen: Bool[ndarray, "v i"]
    held: Bool[ndarray, "v i"]


class Ranked(NamedTuple):
    """The input of formulas: the users with a held-out item, each with a whole ranking.

    found says for each place whether its item is held out; n is the user's number of
    held-out items; users counts those without one, too.
    """

    found: Bool[ndarray, "v i"]
    n: Int[ndarray, " v"]
    users: int


def make(ties: bool = False) -> Made:
    """Whole numbers as scores, which float32 holds exactly, from a fixed seed.

    5 to 40 items of a user are seen, and 1 to 30 held out: more than K for some, none
    for about a tenth of the users.
    """
    draw = np.random.default_rng(0)
    place = draw.permuted(np.tile(np.arange(ITEMS), (USERS, 1)), axis=1)
    n_seen, n_held = draw.integers(5, 41, (USERS, 1)), draw.integers(1, 31, (USERS, 1))
    n_held[draw.random(USERS) < 0.1] = 0
    seen = place < n_seen
    held = ~seen & (place < n_seen + n_held)
    liked = draw.standard_normal((USERS, ITEMS)) + held
    scores = np.argsort(np.argsort(liked, axis=1), axis=1)
    if ties:
        scores = scores * LEVELS // ITEMS
    return Made(scores.astype(np.float32), seen, held)


def our_lists(made: Made, k: int = K) -> Int[ndarray, "v k"]:
    """The lists of this project's exact ranking."""
    offsets = np.concatenate([[0], np.cumsum(made.seen.sum(axis=1))])
    items = np.nonzero(made.seen)[1]
    return rank_scores(lambda r, c: made.scores[r, c], ITEMS, offsets, items, k)


def ranked(made: Made, lists: Int[ndarray, "v i"]) -> Ranked:
    """The held-out items' places in lists; an empty slot holds the number of items."""
    padded = np.pad(made.held, [(0, 0), (0, 1)])
    evaluated = made.held.any(axis=1)
    found = np.take_along_axis(padded, lists, axis=1)[evaluated]
    return Ranked(found, made.held.sum(axis=1)[evaluated], len(made.held))


def values(of: Ranked) -> dict[str, dict[str, float]]:
    """Each metric by each formula that libraries are known to use, OWN first."""
    n, top = of.n, np.minimum(of.n, K)
    found = of.found[:, :K]
    hits = found.sum(axis=1)
    log = np.log2(np.arange(2, K + 2))
    clipped = np.maximum(np.log2(np.arange(1, K + 1)), 1)
    at_hits = of.found * np.cumsum(of.found, axis=1) / np.arange(1, ITEMS + 1)
    precisions = at_hits[:, :K].sum(axis=1)

    rank = np.nonzero(of.found)[1].astype(np.uint16)
    nothing, band = np.zeros(ITEMS, np.int64), np.zeros(len(rank), np.uint8)
    record = Record(np.array([K]), n, rank, band, nothing[None], nothing, {}, ITEMS)
    known = ("recall", "ndcg", "mrr", "hit")
    ours = {metric: METRICS[metric].of(record, K) for metric in known}
    pairs, users = hits.sum() / n.sum(), (hits > 0).sum() / of.users
    of_20 = (found / log).sum(axis=1) / (1 / log).sum()
    max_log = (found / clipped).sum(axis=1) / np.cumsum(1 / clipped)[top - 1]
    formulas = {
        "recall": {
            OWN: ours["recall"],
            "hits / min(20, held-out items)": hits / top,
            "averages over (user, held-out item) pairs, not over users": pairs,
        },
        "precision": {
            OWN: hits / K,
            "a recall: hits of all users / sum of min(20, held-out items)": (
                hits.sum() / top.sum()
            ),
        },
        "ndcg": {
            OWN: ours["ndcg"],
            "the ideal list has 20 hits for every user": of_20,
            "discount max(log2(rank), 1): ranks 1 and 2 weigh the same": max_log,
        },
        "mrr": {
            OWN: ours["mrr"],
            "no cut-off: the first hit of the whole ranking": (
                1 / (of.found.argmax(axis=1) + 1)
            ),
        },
        "hit": {OWN: ours["hit"], "a user without a held-out item counts as 0": users},
        "map": {
            OWN: precisions / top,
            "divided by the held-out items": precisions / n,
            "divided by 20": precisions / K,
            "no cut-off: precision at every held-out item": at_hits.sum(axis=1) / n,
        },
    }
    return {
        metric: {because: float(np.mean(value)) for because, value in each.items()}
        for metric, each in formulas.items()
    }


def tied(made: Made) -> dict[str, tuple[dict[str, float], float, float]]:
    """Recall and nDCG by each rule that breaks ties; by the worst and the best order.

    The first rule is this project's, which takes the lower index.
    """
    score = np.where(made.seen, -np.inf, made.scores)

    def by(second: ndarray) -> dict[str, dict[str, float]]:
        order = np.lexsort((second, -score), axis=1)
        empty = np.take_along_axis(made.seen, order, axis=1)
        return values(ranked(made, np.where(empty, ITEMS, order)))

    own = values(ranked(made, our_lists(made, ITEMS)))
    higher = by(-np.broadcast_to(np.arange(ITEMS), score.shape))
    least, most = by(made.held), by(~made.held)
    last = -np.sort(-score, axis=1)[:, K - 1, None]
    some = made.held.any(axis=1)
    found = ((score >= last) & made.held)[some].sum(axis=1)
    share = float((found / made.held[some].sum(axis=1)).mean())
    return {
        metric: (
            {OWN: own[metric][OWN], HIGHER: higher[metric][OWN], **more},
            *(least[metric][OWN], most[metric][OWN]),
        )
        for metric, more in (("recall", {ALL_TIED: share}), ("ndcg", {}))
    }
