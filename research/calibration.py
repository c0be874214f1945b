"""How much log q and a model's scores should count, fitted to held-out clicks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from research.serving import Serving
from research.types import InputError

__all__ = [
    "PLACES",
    "Calibration",
    "NoScale",
    "calibrate",
    "calibrate_first",
    "in_first_places",
    "most_hits",
]

ROWS = 256  # clicks at a time, which bounds the memory
STEPS = 50
TINY = 1e-10  # a gain in log likelihood per click that ends the fit
WIDE = 1e3  # standard deviation of logits from which they are divided by it first
CERTAIN = -1e-6  # above it each clicked item has the highest score, at any scale
PLACES = 200  # first places of lists, ten times as many as metrics look at
ROUNDS = 30  # at most; each makes lists with the prior that the last ones gave
STILL = 0.01  # a smaller change of the prior ends the rounds


class NoScale(InputError):
    """Held-out clicks fit no finite scale above 0 of the scores."""


class Calibration(NamedTuple):
    """log p(item | user) = scale * logit + share * log q + a constant of the user.

    Attributes:
      scale: of the logits; below 1 if they differ more than held-out clicks confirm.
      share: of log q, the log of each item's share of the training clicks.
    """

    scale: float
    share: float

    def by_impressions(self) -> Serving:
        """Serving by clicks per impression.

        Relevance is log p minus log exposure; dividing it by the scale, as here, leaves
        the order as it is.
        """
        return Serving(self.share / self.scale, 1.0 / self.scale)

    def by_rule(self, strength: float) -> Serving:
        """Serving by the rule's strength of the correction, without impressions."""
        return Serving((self.share - 1.0 + strength) / self.scale)


def calibrate(
    logits: Float[ndarray, "u i"],
    log_q: Float[ndarray, "*u i"],
    user: Int[ndarray, " c"],
    item: Int[ndarray, " c"],
) -> Calibration:
    """Fits held-out clicks by a conditional logit [mcfadden1974].

    Temperature scaling [guo2017] of the scores, with log q as a second term: by maximum
    likelihood, which is concave, with Newton's method.

    Raises:
      InputError: no click, a click on an item that is left out, a logit that is NaN or
        inf.
      NoScale: the clicks fit no finite scale, or one that isn't above 0.
    """
    if not len(item) or not np.isfinite(logits[user, item]).all():
        raise InputError("a calibration needs clicks, on items that are not left out")
    if not (logits < np.inf).all():
        raise InputError("a logit is no number: only -inf, an item left out, may be")
    listed = logits > -np.inf
    if not np.isfinite(np.broadcast_to(log_q, logits.shape)[listed]).all():
        raise InputError("log q must be finite for every item that is not left out")
    spread = float(np.std(logits, where=np.isfinite(logits)))
    if spread > WIDE:  # at a scale of 1 each choice would be certain: no slope is left
        fit = calibrate(logits / spread, log_q, user, item)
        return Calibration(fit.scale / spread, fit.share)
    at = np.array([1.0, 0.0])
    likelihood, slope, curve = _moments(at, logits, log_q, user, item)
    for _ in range(STEPS):
        step = np.linalg.lstsq(curve, slope, rcond=None)[0]
        found = _moments(at + step, logits, log_q, user, item)
        while found[0] < likelihood - TINY:  # beyond the maximum: half the step
            step /= 2
            found = _moments(at + step, logits, log_q, user, item)
        at, gain = at + step, found[0] - likelihood
        likelihood, slope, curve = found
        if gain < TINY:
            break
    if gain >= TINY or likelihood > CERTAIN:
        raise NoScale("the held-out clicks fit no finite scale of the scores")
    if at[0] <= 0:
        raise NoScale(
            f"the held-out clicks fit a scale of {at[0]:.3g}, which must be above 0: "
            "the scores rank clicked items lower than others"
        )
    return Calibration(*at.tolist())


def calibrate_first(
    logits: Float[ndarray, "u i"],
    log_q: Float[ndarray, " i"],
    user: Int[ndarray, " c"],
    item: Int[ndarray, " c"],
    places: int,
) -> Calibration:
    """Fits held-out clicks among the first places of the lists that the fit gives.

    A conditional logit can be fitted on any of the choices [mcfadden1978]: if scores
    and log q describe the whole catalogue alike, this gives what ``calibrate`` does, up
    to noise [hausman1984]. Where they do not, this describes the items that are served.
    Lists are made anew with half of each change of the prior until it is small. Where
    so few clicks are left in them that they fit no scale, the last lists' fit stays.

    Raises:
      InputError: as ``calibrate``, or no place.
      NoScale: the clicks on all items fit no finite scale above 0.
    """
    if places < 1:
        raise InputError(f"places is {places}: it must be 1 or more")
    found = calibrate(logits, log_q, user, item)
    places = min(places, logits.shape[1])
    for _ in range(ROUNDS):
        prior = found.share / found.scale
        clicks, choices = _first_choices(logits, log_q, user, item, prior, places)
        if not len(clicks):
            break
        held = np.argmax(choices == item[clicks, None], axis=1)
        of_choices = logits[user[clicks, None], choices]
        try:
            fit = calibrate(of_choices, log_q[choices], np.arange(len(clicks)), held)
        except NoScale:
            break
        change = fit.share / fit.scale - prior
        found = Calibration(fit.scale, (prior + change / 2) * fit.scale)
        if abs(change) < STILL:
            break
    return found


def in_first_places(
    logits: Float[ndarray, "u i"],
    log_q: Float[ndarray, " i"],
    user: Int[ndarray, " c"],
    item: Int[ndarray, " c"],
    priors: Sequence[float],
    k: int,
) -> Bool[ndarray, "p c"]:
    """Whether held-out clicks are in the first k places of lists, by prior."""
    hits = np.zeros((len(priors), len(item)), bool)
    for start in range(0, len(item), ROWS):
        part = slice(start, start + ROWS)
        scores, held = logits[user[part]], item[part, None]
        for hit, prior in zip(hits, priors, strict=True):
            total = scores + prior * log_q
            own = np.take_along_axis(total, held, axis=1)
            hit[part] = ((total > own).sum(axis=1) < k) & np.isfinite(own[:, 0])
    return hits


def most_hits(hits: Bool[ndarray, "p c"], priors: Sequence[float]) -> float:
    """The prior with most hits; the median where several have as many.

    >>> hits = np.array([[True, False], [True, True], [True, True], [False, True]])
    >>> most_hits(hits, [0.0, 0.25, 0.75, 1.0])
    0.5
    """
    counts = hits.sum(axis=1)
    return float(np.median(np.array(priors)[counts == counts.max()]))


def _first_choices(
    logits: Float[ndarray, "u i"],
    log_q: Float[ndarray, " i"],
    user: Int[ndarray, " c"],
    item: Int[ndarray, " c"],
    prior: float,
    places: int,
) -> tuple[Int[ndarray, " n"], Int[ndarray, "n p"]]:
    """The clicks in the first places of lists with the prior, and the lists' items."""
    clicks, choices = [], []
    for start in range(0, len(item), ROWS):
        part = slice(start, start + ROWS)
        scores = logits[user[part]] + prior * log_q
        first = np.argpartition(-scores, places - 1, axis=1)[:, :places]
        kept = (first == item[part, None]).any(axis=1)
        clicks.append(start + np.flatnonzero(kept))
        choices.append(first[kept])
    return np.concatenate(clicks), np.concatenate(choices)


def _moments(
    at: Float[ndarray, " 2"],
    logits: Float[ndarray, "u i"],
    log_q: Float[ndarray, "*u i"],
    user: Int[ndarray, " c"],
    item: Int[ndarray, " c"],
) -> tuple[float, Float[ndarray, " 2"], Float[ndarray, "2 2"]]:
    """The mean log likelihood of a click, its gradient, and minus its Hessian."""
    likelihood, slope, curve = 0.0, np.zeros(2), np.zeros((2, 2))
    log_q = np.where(np.isfinite(log_q), log_q, 0.0)  # of items left out: any number
    each = "ij,ij->i" if log_q.ndim == 2 else "ij,j->i"
    for start in range(0, len(item), ROWS):
        rows, held = user[start : start + ROWS], item[start : start + ROWS]
        scores = logits[rows].astype(float)
        left_out = np.isneginf(scores)
        scores[left_out] = 0.0
        shares = log_q[rows] if log_q.ndim == 2 else log_q
        total = at[0] * scores
        total += at[1] * shares
        total[left_out] = -np.inf
        total -= total.max(axis=1, keepdims=True)
        here = np.arange(len(held))
        of_held = total[here, held]
        p = np.exp(total, out=total)
        norm = p.sum(axis=1, keepdims=True)
        p /= norm
        likelihood += float((of_held - np.log(norm[:, 0])).sum())
        by_score = p * scores
        means = np.stack([by_score.sum(axis=1), np.einsum(each, p, shares)])
        of_clicks = np.stack(
            [scores[here, held], np.broadcast_to(shares, p.shape)[here, held]]
        )
        slope += (of_clicks - means).sum(axis=1)
        both = np.einsum(each, by_score, shares).sum()
        squares = np.vdot(by_score, scores), np.einsum(each, p, shares**2).sum()
        curve += [[squares[0], both], [both, squares[1]]]
        curve -= means @ means.T
    return likelihood / len(item), slope / len(item), curve / len(item)
