"""What was known of users and items from ratings, at the time of a query.

Needs ratings below the threshold beside the positives (``Rated``): a rate of positives
is none where every rating is one. Rates are drawn towards the overall rate of the
fitted part, as if ``PRIOR`` more ratings had it, so that what was never rated has the
overall rate and not 0.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from research.features import Request
from research.types import Events, InputError, Rated

PRIOR = 4.0  # ratings
DAY = 86400  # seconds


def genre_profile(request: Request) -> Float[ndarray, "p g"]:
    """The user's rate of positives a genre before each of its events, and at its end.

    Row position + user: a user with n events has n + 1 rows. Counted is every rating
    that comes before the event in the user's order, positive or not.
    """
    events, rated = request.events, _rated(request.events)
    genres = events.items.topics()[rated.item]
    rate = rated.positive.mean()
    before, positives = (
        np.cumsum(np.pad(part, ((1, 0), (0, 0))), axis=0, dtype=np.int32)
        for part in (genres, genres & rated.positive[:, None])
    )
    # The fitted events are the positives, in the same order; a user's end comes after.
    at = np.flatnonzero(rated.positive)
    n_users = events.n_users
    row = np.empty(len(at) + n_users, np.int64)
    row[np.arange(len(at)) + events.user] = at
    ends = np.searchsorted(rated.user, np.arange(n_users), side="right")
    row[events.offsets[1:] + np.arange(n_users)] = ends
    user = np.repeat(np.arange(n_users), np.diff(events.offsets) + 1)
    start = np.searchsorted(rated.user, user, side="left")
    n, liked = before[row] - before[start], positives[row] - positives[start]
    return ((liked + PRIOR * rate) / (n + PRIOR)).astype(np.float32)


def click_seconds(request: Request) -> Int[ndarray, " e"]:
    """When the fitted events were, in seconds from the first."""
    timestamp = request.events.timestamp
    return (timestamp - timestamp.min()).astype(np.int32)


def item_profile(request: Request) -> Float[ndarray, "i 2"]:
    """Mean rating, in stars from the mean of all, and log(1 + ratings), in the part.

    The mean is of the item's ratings and of ``PRIOR`` more at the mean of all.
    """
    events, rated = request.events, _rated(request.events)
    n = np.bincount(rated.item, minlength=events.n_items)
    total = np.bincount(
        rated.item, weights=rated.rating - rated.rating.mean(), minlength=events.n_items
    )
    return np.stack([total / (n + PRIOR), np.log1p(n)], axis=1).astype(np.float32)


def windows(events: Events, days: float) -> Int[ndarray, " e"]:
    """The window of time of each event, from 0; the last ends with the last event."""
    return _window(events, days, events.timestamp)


def recent(request: Request) -> Float[ndarray, "w i 2"]:
    """Positives of each item, and their rate, in each window of window_days.

    Row w + 1 is of window w: (log(1 + positives), rate of positives). Row 0 is of the
    time before all of them, when nothing was known. A query in window w may look at
    window w - 1, the last that is over, and so at row w.
    """
    events, days = request.events, request.config.window_days
    rated = _rated(events)
    window = _window(events, days, rated.timestamp)
    n_windows = int(windows(events, days).max()) + 1
    inside = window >= 0  # a rating before the first positive is in no window
    cell = window[inside] * events.n_items + rated.item[inside]
    shape = (n_windows, events.n_items)
    size, positive = n_windows * events.n_items, rated.positive[inside]
    n = np.bincount(cell, minlength=size).reshape(shape)
    liked = np.bincount(cell[positive], minlength=size).reshape(shape)
    rate = rated.positive.mean()
    values = np.zeros((n_windows + 1, events.n_items, 2), np.float32)
    values[0, :, 1] = rate
    values[1:, :, 0] = np.log1p(liked)
    values[1:, :, 1] = (liked + PRIOR * rate) / (n + PRIOR)
    return values


def _window(
    events: Events, days: float, timestamp: Int[ndarray, " n"]
) -> Int[ndarray, " n"]:
    """The windows counted back from the last event, so that the last is a whole one."""
    end, width = events.timestamp.max(), days * DAY
    back = np.floor((end - timestamp) / width).astype(np.int64)
    first = int(np.floor((end - events.timestamp.min()) / width))
    return first - back


def _rated(events: Events) -> Rated:
    if events.rated is None:
        raise InputError("profiles need ratings below the threshold: there are none")
    return events.rated
