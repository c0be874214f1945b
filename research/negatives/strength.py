"""How much of log q to correct, given the exposure that made items popular."""

import numpy as np
from numpy import ndarray

from research.types import InputError

__all__ = ["correction_strength"]

ROUNDING = 1e-6  # of logs of the same share, in float32: a smaller spread is none


def correction_strength(log_q: ndarray, log_exposure: ndarray) -> float:
    """The strength of the log q correction that keeps popularity that isn't exposure.

    1 - cov(log q, log e) / var(log q), over the items: the slope of log exposure on
    log q says how much of a difference in log q is one in exposure; the rest is kept.
    Exposure that doesn't vary gives 1, the full correction; clicks that are exposure
    alone give 0. The total strength may be put in the loss, in the popularity prior
    when serving, or shared between them.

    Watch: an estimate of exposure is needed (impressions per item); clicks alone can't
    tell exposure from quality. The value isn't clipped: below 0, exposure spreads more
    than popularity does.

    Args:
      log_q: log of each item's share of the clicks, [i].
      log_exposure: log of how often each item was shown, up to a constant, [i].

    Raises:
      InputError: other shapes, fewer than two items, a value that isn't finite, or a
        log q that doesn't vary.

    >>> log_q = np.log(np.array([0.5, 0.3, 0.2]))
    >>> round(correction_strength(log_q, np.zeros(3)), 3)
    1.0
    >>> round(correction_strength(log_q, 0.25 * log_q + 3), 3)
    0.75
    """
    log_q, log_exposure = np.asarray(log_q, float), np.asarray(log_exposure, float)
    if log_q.ndim != 1 or log_q.shape != log_exposure.shape or len(log_q) < 2:
        raise InputError(
            f"log q {log_q.shape} and log exposure {log_exposure.shape}: each holds a "
            f"number per item, of at least two items"
        )
    if not (np.isfinite(log_q).all() and np.isfinite(log_exposure).all()):
        raise InputError("log q and log exposure must be finite for every item")
    covariance = np.cov(log_q, log_exposure)
    if np.ptp(log_q) <= ROUNDING * np.abs(log_q).max():
        raise InputError(
            "log q is the same for every item: there is nothing to correct"
        )
    return float(1 - covariance[0, 1] / covariance[0, 0])
