"""Features of users and items from ratings before the time of a query.

They need the ratings below the threshold too (``Rated``): else every rate is 1. Rates
are shrunk towards the overall rate of the training part, as if there were ``PRIOR``
more ratings at that rate, so that an item without ratings has it and not 0.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from research.batches import window_days
from research.features import Request
from research.types import Events, InputError, Rated

PRIOR = 4.0  # ratings
DAY = 86400  # seconds


def genre_profile(request: Request) -> Float[ndarray, "p g"]:
    """Rate of positives per genre before each event of a user, and at the user's end.

    Row position + user: a user with n events has n + 1 rows. All ratings that come
    before the event in the user's order count, positive or not.
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
    """Times of the fitted events, in seconds from the first."""
    timestamp = request.events.timestamp
    if not len(timestamp):
        return np.zeros(0, np.int32)
    if np.ptp(timestamp) >= 2**31:
        raise InputError(
            f"user feature '{request.name}': timestamps from {timestamp.min()} to "
            f"{timestamp.max()} s span more than 68 years"
        )
    return (timestamp - timestamp.min()).astype(np.int32)


def item_profile(request: Request) -> Float[ndarray, "i 2"]:
    """Mean rating minus the overall mean, in stars, and log(1 + number of ratings).

    Both are of the training part. The mean is shrunk towards the overall one, as if
    there were ``PRIOR`` more ratings at it.
    """
    events, rated = request.events, _rated(request.events)
    n = np.bincount(rated.item, minlength=events.n_items)
    total = np.bincount(
        rated.item, weights=rated.rating - rated.rating.mean(), minlength=events.n_items
    )
    return np.stack([total / (n + PRIOR), np.log1p(n)], axis=1).astype(np.float32)


def count_windows(events: Events, days: float) -> int:
    """The number of windows of time from the first event to the last.

    Raises:
      InputError: there are more than int32 can number.
    """
    n = float(np.floor(np.ptp(events.timestamp) / (days * DAY))) + 1
    if n >= 2**31:
        raise InputError(f"windows of {days:g} days: the data has {n:.3g} such windows")
    return int(n)


def windows(
    events: Events, days: float, timestamp: Int[ndarray, " n"] | None = None
) -> Int[ndarray, " n"]:
    """The window of time of each timestamp; 0 is that of the first event.

    Windows are counted back from the last event, so that the last one is whole.
    """
    times = events.timestamp if timestamp is None else timestamp
    end, width = events.timestamp.max(), days * DAY
    first = count_windows(events, days) - 1
    return first - np.floor((end - times) / width).astype(np.int64)


def recent(request: Request) -> Float[ndarray, "w i 2"]:
    """Log(1 + positives) and rate of positives of each item in each window.

    Row w + 1 is of window w, and row 0 of the time before all windows. A query in
    window w may look at window w - 1, the last that is over, and so at row w.
    """
    events, days = request.events, window_days(request.config)
    rated = _rated(events)
    window = windows(events, days, rated.timestamp)
    n_windows = count_windows(events, days)
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


def _rated(events: Events) -> Rated:
    if events.rated is None:
        raise InputError("profiles need ratings below the threshold: there are none")
    return events.rated
