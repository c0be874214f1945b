"""What every metric is held to, on a made phase of 40 users and 60 items."""

from functools import cache
from typing import Any

import numpy as np

from research.evaluate.metrics import METRICS, Metric, mean_counted
from research.evaluate.record import Evaluation, held_out, record_of
from research.exposure import IMPRESSIONS
from research.laws import Broken, Verdict, broken
from research.types import CATEGORIES, NUMBER, Column, Events, Fold, Record, Table

USERS, ITEMS, GENRES, KS = 40, 60, 4, (5, 20)
# What is added to the score of a held-out item, for lists that differ in nothing else.
LISTS = {"the best": 1e3, "drawn": 0.0, "the worst": -1e3}


@cache
def fold() -> Fold:
    """Twelve fitted and four held-out items of each user, popular ones more often."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, ITEMS + 1)
    rows = [
        rng.choice(ITEMS, 16, replace=False, p=share / share.sum())
        for _ in range(USERS)
    ]
    fitted, held = np.array(rows)[:, :12], np.array(rows)[:, 12:]
    user = np.repeat(np.arange(USERS, dtype=np.int32), 12)
    shown = 10.0 * ITEMS * share
    columns = {
        "genres": Column(
            CATEGORIES,
            rng.random((ITEMS, GENRES)) < 0.4,
            tuple(f"genre {g}" for g in range(GENRES)),
        ),
        IMPRESSIONS: Column(NUMBER, shown.astype(np.float32)),
    }
    events = Events(
        user=user,
        item=fitted.ravel().astype(np.int32),
        rating=np.full(len(user), 5.0, np.float32),
        timestamp=np.arange(len(user)),
        order=np.arange(len(user)),
        offsets=np.arange(USERS + 1) * 12,
        users=Table(np.arange(USERS), {}),
        items=Table(np.arange(ITEMS), columns),
    )
    return Fold(
        fitted=events,
        held_user=np.repeat(np.arange(USERS, dtype=np.int32), 4),
        held_item=held.ravel().astype(np.int32),
        evaluated=np.arange(USERS),
        held_time=np.zeros(USERS * 4, np.int64),
    )


def record(added: float, metric: Metric) -> Record:
    """The record of lists with ``added`` on the score of every held-out item."""
    phase = fold()
    scores = np.random.default_rng(1).normal(size=(USERS, ITEMS)).astype(np.float32)
    scores[phase.held_user, phase.held_item] += np.float32(added)
    listed = scores.copy()
    listed[phase.fitted.user, phase.fitted.item] = -np.inf
    lists = np.argsort(-listed, axis=1, kind="stable")
    lists[:, -12:] = ITEMS  # seen: empty slots
    run = Evaluation(
        phase,
        lists,
        KS,
        *held_out(phase, lists),
        scorer=lambda rows, items: scores[rows, items].copy(),
    )
    own = METRICS.own()
    metrics = [entry for name, entry in METRICS.items() if name not in own]
    return record_of(run, [*metrics, metric])


def verdict(name: str, metric: Metric) -> Verdict:
    """The metric's checks on the best lists, on drawn ones and on the worst."""
    values: dict[tuple[str, int], Any] = {}

    def compute() -> None:
        for lists, added in LISTS.items():
            made = record(added, metric)
            if not metric.absent(made):
                for k in metric.cutoffs or KS:
                    values[lists, k] = np.asarray(metric.of(made, k), float)

    found = [broken(compute)]
    if not found[0] and not values:
        return Verdict((), f"its values (made data have no column {metric.column})")
    if not found[0]:
        checks = values_of_users, same_users, better_end
        found += [broken(check, metric, values) for check in checks]
    return Verdict(tuple(filter(None, found)))


def values_of_users(metric: Metric, values: dict[tuple[str, int], Any]) -> None:
    """A number for each user, or one; NaN says that a user doesn't count."""
    shape = (USERS,) if metric.per_user else ()
    for (lists, k), found in values.items():
        where = f"at cut-off {k} for {lists} lists"
        if found.shape != shape:
            raise Broken(f"values {list(found.shape)} and not {list(shape)}, {where}")
        if np.isinf(found).any() or np.isnan(found).all():
            raise Broken(f"{found.ravel()[:5]} {where}")


def same_users(metric: Metric, values: dict[tuple[str, int], Any]) -> None:
    """Which users count doesn't depend on their lists, or arms can't be paired."""
    for k in metric.cutoffs or KS:
        counted = {lists: ~np.isnan(values[lists, k]) for lists in LISTS}
        best, worst = counted["the best"], counted["the worst"]
        if (best != worst).any():
            raise Broken(
                f"counts {best.sum()} of {USERS} users for the best lists and "
                f"{worst.sum()} for the worst, at cut-off {k}: "
                f"{(best != worst).sum()} differ"
            )


def better_end(metric: Metric, values: dict[tuple[str, int], Any]) -> None:
    """The best lists have the better value where one end is better."""
    sign = {"higher": 1, "lower": -1, "neither": 0}[metric.better]
    for k in metric.cutoffs or KS:
        best, worst = (
            mean_counted(values[lists, k].ravel())
            for lists in ("the best", "the worst")
        )
        if sign and not sign * best > sign * worst:
            raise Broken(
                f"better is '{metric.better}', but all positives first give {best:.6g} "
                f"and all last {worst:.6g}, at cut-off {k}"
            )
