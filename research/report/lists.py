"""One user's lists with titles, beside the user's clicks.

Users are named by the data set's own ids. Places count from 1; they are empty where an
item is not among the 500 that a run ranks, as items of the training part never are.
"""

import numpy as np
import pandas as pd
from numpy import ndarray

from research.evaluate.metrics import CUTOFF
from research.positives import POSITIVES
from research.report.records import RunResult, Served
from research.report.tables import cell_label
from research.types import Fold, InputError

TRAINING, HELD_OUT = "training", "held out"


def user_list(result: RunResult, user: int | str, k: int = CUTOFF) -> pd.DataFrame:
    """A user's list: title, training clicks, and whether the user clicked the item.

    Args:
      result: of ``compare`` or ``load_run``.
      user: the data set's own id.
      k: length of the list, at most 500.

    Returns:
      One row per place. ``part`` is "held out" for a hit, "training" where lists may
      hold seen items, "" for an item that the user never clicked.

    Raises:
      InputError: the user is unknown or not evaluated; the result holds no lists, or
        lists that aren't of items for users; k is below 1 or above 500.
    """
    served, row = _row(result, user)
    shown = _top(served, row, k)
    frame = _about(served.fold, row, shown)
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="place")
    return frame


def user_clicks(result: RunResult, user: int | str) -> pd.DataFrame:
    """What a user clicked: the held-out part with its places, then the training part.

    Args:
      result: of ``compare`` or ``load_run``.
      user: the data set's own id.

    Returns:
      One row per click: title, training clicks of the item, part ("held out" or
      "training"), and place, where the list holds the item. Held-out items come
      by place, those of the training part from the latest on.

    Raises:
      InputError: see ``user_list``.
    """
    served, row = _row(result, user)
    fold, shown = served.fold, served.lists[row]
    held, seen = _clicked(fold, row)
    frame = _about(fold, row, np.concatenate([held, seen[::-1]]))
    place = _places(shown, np.concatenate([held, seen[::-1]]))
    frame = frame.assign(place=pd.array(place, dtype="Int64"))
    first = frame[frame.part == HELD_OUT].sort_values("place", kind="stable")
    rest = frame[frame.part != HELD_OUT]
    return pd.concat([first, rest], ignore_index=True)


def compare_lists(
    first: RunResult, second: RunResult, user: int | str, k: int = CUTOFF
) -> pd.DataFrame:
    """The lists of two runs for one user, side by side.

    Args:
      first: of ``compare`` or ``load_run``.
      second: likewise, on the same data.
      user: the data set's own id.
      k: length of the lists.

    Returns:
      One row per item that either list holds: title, training clicks, part as in
      ``user_list``, and its place in either run, in columns named after the runs.

    Raises:
      InputError: see ``user_list``; or the runs are of different data.
    """
    (one, row), (two, other) = _row(first, user), _row(second, user)
    ids = one.fold.fitted.items.id, two.fold.fitted.items.id
    if not np.array_equal(*ids):
        raise InputError(f"{first.arm} and {second.arm} have different catalogues")
    check_judged_alike(first, second)
    items = np.concatenate([_top(one, row, k), _top(two, other, k)])
    items = np.array(list(dict.fromkeys(items.tolist())), items.dtype)
    names = _names(first, second)
    places = {
        names[0]: pd.array(_places(one.lists[row], items), dtype="Int64"),
        names[1]: pd.array(_places(two.lists[other], items), dtype="Int64"),
    }
    frame = _about(one.fold, row, items).assign(**places)
    return frame.sort_values(list(names), kind="stable", ignore_index=True)


def check_judged_alike(first: RunResult, second: RunResult) -> None:
    """Refuses two runs that are fitted on or judged by different clicks."""
    one, two = (result.served.fold for result in (first, second) if result.served)
    parts = (
        (one.fitted.user, two.fitted.user),
        (one.fitted.item, two.fitted.item),
        (one.held_user, two.held_user),
        (one.held_item, two.held_item),
        (one.evaluated, two.evaluated),
    )
    if not all(np.array_equal(*pair) for pair in parts):
        raise InputError(
            f"{first.arm} and {second.arm} are of different data, or of different "
            "parts of it: nothing can be compared user by user"
        )


def _row(result: RunResult, user: int | str) -> tuple[Served, int]:
    """What the run serves, and the user's row of its lists."""
    served = result.served
    if served is None:
        raise InputError(
            f"{result.arm}: records hold no lists; use compare or load_run"
        )
    kind = served.run.config.positives
    if not POSITIVES.choose(kind).ranks_items:
        raise InputError(f"positives {kind}: lists are not of items for users")
    fold = served.fold
    named = fold.fitted.users.names.astype(str) == str(user)
    (row,) = np.nonzero(named[fold.evaluated])
    if not row.size:
        known = named.any()
        why = "has nothing held out" if known else "is not in the data set"
        raise InputError(f"user {user} {why}")
    return served, int(row[0])


def _top(served: Served, row: int, k: int) -> ndarray:
    width = served.lists.shape[1]
    if not 1 <= k <= width:
        raise InputError(f"k is {k}: a list has 1 to {width} places")
    shown = served.lists[row, :k]
    return np.asarray(shown[shown < served.fold.fitted.n_items])


def _clicked(fold: Fold, row: int) -> tuple[ndarray, ndarray]:
    """A user's held-out items, and those of the training part in order of time."""
    user = fold.evaluated[row]
    fitted = fold.fitted
    seen = fitted.item[fitted.offsets[user] : fitted.offsets[user + 1]]
    return fold.held_item[fold.held_user == user], seen


def _about(fold: Fold, row: int, items: ndarray) -> pd.DataFrame:
    held, seen = _clicked(fold, row)
    part = np.where(np.isin(items, seen), TRAINING, "")
    return pd.DataFrame(
        {
            "title": fold.fitted.items.titles()[items],
            "clicks": fold.fitted.item_counts[items],
            "part": np.where(np.isin(items, held), HELD_OUT, part),
        }
    )


def _places(shown: ndarray, items: ndarray) -> list[int | None]:
    """The place of each item in a list, from 1; None for one that it lacks."""
    at = {item: n + 1 for n, item in enumerate(shown.tolist())}
    return [at.get(item) for item in items.tolist()]


def _names(first: RunResult, second: RunResult) -> tuple[str, str]:
    """Names of two runs that differ: their arms, else with swept values, else seeds."""
    runs = first, second
    labels = [cell_label({"arm": r.arm, **r.swept}, list(r.swept)) for r in runs]
    seeds = [f"{label}, seed {r.seed}" for label, r in zip(labels, runs)]
    for one, two in ((first.arm, second.arm), labels, seeds):
        if one != two:
            return one, two
    raise InputError(f"{seeds[0]} is compared with itself")
