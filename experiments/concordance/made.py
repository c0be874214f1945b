"""Generated scores and held-out items, and every metric of them, by each formula.

``FORMULAS`` has this project's own values first; the others are formulas by which
libraries are known to differ. Conventions: ``v`` users, ``i`` items, K = 20.
"""

from collections.abc import Callable
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


def _record(of: Ranked) -> Record:
    rank = np.nonzero(of.found)[1].astype(np.uint16)
    nothing = np.zeros(ITEMS, np.int64)
    band = np.zeros(len(rank), np.uint8)
    return Record(np.array([K]), of.n, rank, band, nothing[None], nothing, {}, ITEMS)


def _ours(metric: str) -> Callable[[Ranked], float]:
    return lambda of: float(METRICS[metric].of(_record(of), K).mean())


def _hits(of: Ranked) -> Int[ndarray, " v"]:
    return of.found[:, :K].sum(axis=1)


def _precisions(of: Ranked, k: int) -> ndarray:
    """Sum of the precision at each hit, [v]."""
    found = of.found[:, :k]
    return (found * np.cumsum(found, axis=1) / np.arange(1, k + 1)).sum(axis=1)


def _gain(of: Ranked, discount: ndarray) -> ndarray:
    return (of.found[:, :K] / discount).sum(axis=1)


_LOG = np.log2(np.arange(2, K + 2))
_CLIPPED = np.maximum(np.log2(np.arange(1, K + 1)), 1)


def _clipped(of: Ranked) -> float:
    ideal = np.cumsum(1 / _CLIPPED)[np.minimum(of.n, K) - 1]
    return float((_gain(of, _CLIPPED) / ideal).mean())


OWN = ""  # this project's formula; that of most libraries where METRICS has none
FORMULAS: dict[str, dict[str, Callable[[Ranked], float]]] = {
    "recall": {
        OWN: _ours("recall"),
        "hits / min(20, held-out items)": lambda of: float(
            (_hits(of) / np.minimum(of.n, K)).mean()
        ),
        "averages over (user, held-out item) pairs, not over users": lambda of: float(
            _hits(of).sum() / of.n.sum()
        ),
    },
    "precision": {
        OWN: lambda of: float((_hits(of) / K).mean()),
        "a recall: hits of all users / sum of min(20, held-out items)": lambda of: (
            float(_hits(of).sum() / np.minimum(of.n, K).sum())
        ),
    },
    "ndcg": {
        OWN: _ours("ndcg"),
        "the ideal list has 20 hits for every user": lambda of: float(
            (_gain(of, _LOG) / (1 / _LOG).sum()).mean()
        ),
        "discount max(log2(rank), 1): ranks 1 and 2 weigh the same": _clipped,
    },
    "mrr": {
        OWN: _ours("mrr"),
        "no cut-off: the first hit of the whole ranking": lambda of: float(
            (1 / (of.found.argmax(axis=1) + 1)).mean()
        ),
    },
    "hit": {
        OWN: _ours("hit"),
        "a user without a held-out item counts as 0": lambda of: float(
            (_hits(of) > 0).sum() / of.users
        ),
    },
    "map": {
        OWN: lambda of: float((_precisions(of, K) / np.minimum(of.n, K)).mean()),
        "divided by the held-out items": lambda of: float(
            (_precisions(of, K) / of.n).mean()
        ),
        "divided by 20": lambda of: float((_precisions(of, K) / K).mean()),
        "no cut-off: precision at every held-out item": lambda of: float(
            (_precisions(of, ITEMS) / of.n).mean()
        ),
    },
}


def values_of(metric: str, of: Ranked) -> dict[str, float]:
    """The value by each formula of the metric, this project's first."""
    return {because: formula(of) for because, formula in FORMULAS[metric].items()}


HIGHER = "ties go to the higher item index"
ALL_TIED = "whatever ties with place 20 counts as found"
NO_RULE = "neither rule: a value between the worst and the best order of ties"


class Tied(NamedTuple):
    """A metric where scores tie, by this project's formula.

    values are by the rule that breaks ties, this project's (the lower index) first;
    least and most are of the worst and the best order.
    """

    values: dict[str, float]
    least: float
    most: float


def tied(metric: str, made: Made) -> Tied:
    """The metric by each rule that breaks ties."""
    score = np.where(made.seen, -np.inf, made.scores)

    def by(second: ndarray) -> float:
        order = np.lexsort((second, -score), axis=1)
        empty = np.take_along_axis(made.seen, order, axis=1)
        return formula(ranked(made, np.where(empty, ITEMS, order)))

    formula = FORMULAS[metric][OWN]
    item = np.broadcast_to(np.arange(ITEMS), score.shape)
    values = {OWN: formula(ranked(made, our_lists(made, ITEMS))), HIGHER: by(-item)}
    if metric == "recall":
        last = -np.sort(-score, axis=1)[:, K - 1, None]
        some = made.held.any(axis=1)
        found = ((score >= last) & made.held)[some].sum(axis=1)
        values[ALL_TIED] = float((found / made.held[some].sum(axis=1)).mean())
    return Tied(values, by(made.held), by(~made.held))
