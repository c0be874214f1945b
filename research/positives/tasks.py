"""The retrieval task of each kind of positives: queries, candidates, relevant ones.

user-item: a user's held-out items among all items but the user's training positives.
item-item: items of the held-out sessions of an item, among all items but itself.
user-user: the held-out part of a user's history among those of all evaluated users, by
the training part.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from research.config import Config
from research.events import take_events
from research.features.search import held_words
from research.positives import (
    POSITIVES,
    Clicks,
    Halves,
    parts,
    session_pairs,
    values_of,
)
from research.towers import takes_words
from research.types import Fold, InputError, Table, check


class RetrievalTask(NamedTuple):
    """A retrieval task: queries, candidates, and the inputs of their vectors.

    Attributes:
      fold: the task in terms of users and items: fold.evaluated are the queries,
        fold.held_item their relevant items among fold.fitted.n_items candidates.
      queries: the towers' ids of the queries, [v].
      candidates: the towers' ids of the candidates, [i].
      histories: the entities' events, where entities aren't the training part's users.
      words: the words that each query searches by; None without a search.
    """

    fold: Fold
    queries: Int[ndarray, " v"]
    candidates: Int[ndarray, " i"]
    histories: Halves | None = None
    words: Int[ndarray, "v w"] | None = None


def retrieval_task(config: Config, fold: Fold) -> RetrievalTask:
    """The task of a config's kind of positives on a phase.

    Raises:
      InputError: no held-out session has two items.
    """
    task: RetrievalTask = POSITIVES.choose(config.positives).task(config, fold)
    return task


def held_out_items(config: Config, fold: Fold) -> RetrievalTask:
    """A user's held-out items among all items but the user's training positives."""
    words = held_words(config, fold) if takes_words(config) else None
    candidates = np.arange(fold.fitted.n_items)
    return RetrievalTask(fold, fold.evaluated, candidates, words=words)


def same_session(config: Config, fold: Fold) -> RetrievalTask:
    """Items of the same held-out sessions, among all items but the query itself.

    Queries are items with a training click, as the vectors of others are untrained.
    A session of n held-out events gives each of its items min(4, n - 1) others, as in
    training; an item is one query, for the items of all its sessions.
    """
    fitted, n_items, gap = fold.fitted, fold.fitted.n_items, values_of(config)["gap"]
    assert fold.held_time is not None  # every fold of events.fold has it
    raw = fitted.users.id[fold.held_user], fitted.items.id[fold.held_item]
    pairs = session_pairs(Clicks(*raw, fold.held_time), gap)
    query, candidate = (fold.held_item[of_pair] for of_pair in pairs)
    known = fitted.item_counts > 0
    code = np.unique(query.astype(np.int64) * n_items + candidate)
    code = code[known[code // n_items] & (code // n_items != code % n_items)]
    if not len(code):
        raise InputError(f"gap {gap:g}: no held-out session has two items to pair")
    queries = np.unique(code // n_items)
    itself = (np.arange(len(queries) + 1), queries.astype(fitted.item.dtype))
    judged = fold._replace(
        held_user=(code // n_items).astype(fold.held_user.dtype),
        held_item=(code % n_items).astype(fold.held_item.dtype),
        held_time=None,
        evaluated=queries,
        removed=itself,
    )
    return RetrievalTask(check(judged), queries, np.arange(n_items))


def other_half(config: Config, fold: Fold) -> RetrievalTask:
    """A user's held-out part among those of all evaluated users, by the training part.

    Queries and candidates are the evaluated users: those with both parts. The task
    looks ahead in time: two halves of the training part would be a training pair.
    """
    users, n = fold.evaluated, len(fold.evaluated)
    fitted = take_events(fold.fitted, np.isin(fold.fitted.user, users))
    index = np.arange(n)
    table = Table(fitted.users.id[users], {})
    item = np.searchsorted(users, fitted.user).astype(fitted.item.dtype)
    judged = Fold(
        fitted=fitted._replace(item=item, items=table),
        held_user=index,
        held_item=index,
        evaluated=index,
        removed=(np.zeros(n + 1, np.int64), np.zeros(0, fitted.item.dtype)),
    )
    user = np.concatenate([fold.fitted.user, fold.held_user])
    item = np.concatenate([fold.fitted.item, fold.held_item])
    second = np.arange(len(user)) >= len(fold.fitted.user)
    histories = parts(user, item, second, users)
    return RetrievalTask(check(judged), 2 * index, 2 * index + 1, histories)
