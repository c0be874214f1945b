"""A trained model apart from its data set: it encodes users by history and features."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from research.config import Config
from research.data.own_files import renamed
from research.features import (
    PER_EVENT,
    USER,
    Feature,
    choose_features,
    static_features,
)
from research.positives import POSITIVES, log_share
from research.prepare import Prepared, is_towers
from research.saved.histories import as_events, read_histories, read_users
from research.serving import Serving, rule_prior
from research.types import Events, InputError, Table

if TYPE_CHECKING:
    from research.train.loop import Trained
    from research.train.model import Params

HistoriesLike = Path | str | Mapping[Any, Any]
UsersLike = Path | str | Mapping[Any, Mapping[str, Any]]


class Encoded(NamedTuple):
    """Users as vectors, and what their histories held.

    Attributes:
      ids: raw ids, in the order of the histories, then of the table of users.
      vectors: of the users.
      seen_offsets: user n has clicked
        seen_items[seen_offsets[n] : seen_offsets[n + 1]].
      seen_items: places of items among the model's.
      notes: lines on what was skipped, such as clicks on unknown items.
    """

    ids: ndarray
    vectors: Float[ndarray, "v d"]
    seen_offsets: Int[ndarray, " v1"]
    seen_items: Int[ndarray, " s"]
    notes: tuple[str, ...]


class Lists(NamedTuple):
    """Users' lists: raw ids of users [v] and of items [v, k], best first, and scores.

    A score is score / temperature, with what serving adds (research/serving.py).
    """

    users: ndarray
    items: ndarray
    scores: Float[ndarray, "v k"]


@dataclass(frozen=True, eq=False)
class SavedModel:
    """A trained two-tower model with all that encoding a user needs.

    Attributes:
      config: of the run, its features named.
      params: tables by name, the two nets and what the loss learned, on the host.
      users: raw ids and columns of the training part's users.
      items: raw ids and columns of the catalogue.
      item_counts: training clicks of each item.
      item_vectors: of the catalogue.
      temperature: what serving divides the score by.
      timed: whether the training data has times of clicks.
      about: data set, digest of its data, run and version, for users and checks.
    """

    config: Config
    params: "Params"
    users: Table
    items: Table
    item_counts: Int[ndarray, " i"]
    item_vectors: Float[ndarray, "i d"]
    temperature: float
    timed: bool
    about: Mapping[str, Any]

    @property
    def log_q(self) -> Float[ndarray, " i"]:
        """Log of each item's share of the training clicks."""
        return log_share(self.item_counts)

    def encode(
        self, histories: HistoriesLike, users: UsersLike | None = None
    ) -> Encoded:
        """Vectors of users by their histories and features, known in training or not.

        A user without a known item is encoded from its features. A feature value that
        training never saw has the mean of the rows of those that it saw.

        Raises:
          InputError: a file that can't be read, ids of another kind, no user, or one
            with neither a known item nor a feature.
        """
        from research.saved.encoding import encode_events  # which imports JAX

        called = renamed(self.config.columns)
        clicks = read_histories(histories, self.users, self.items, called)
        features = read_users(users, self.users, called)
        if not len(clicks.users) and not features[0]:
            raise InputError("the histories and the table of users name no user")
        queries = as_events(clicks, features, self)
        vectors = encode_events(self, queries.events, clicks.timed)
        events = queries.events
        return Encoded(
            events.users.names, vectors, events.offsets, events.item, queries.notes
        )

    def lists(
        self,
        histories: HistoriesLike,
        users: UsersLike | None = None,
        k: int = 20,
        prior: float | None = None,
        exposure: float | None = None,
        min_clicks: int | None = None,
    ) -> Lists:
        """Each user's k best items among those that its history does not hold.

        Raises:
          InputError: as in ``encode``; a user has fewer than k other items; or
            ``exposure`` isn't 0 and the table of items has no impressions.
        """
        serving = self.serving(prior, exposure, min_clicks)
        return self.rank(self.encode(histories, users), k, serving)

    def rank(
        self, encoded: Encoded, k: int = 20, serving: Serving | None = None
    ) -> Lists:
        """The lists of encoded users, by default as the config says; see ``lists``."""
        from research.evaluate.top_k import TILE, top_k

        serving = Serving.of(self.config) if serving is None else serving
        listed = serving.lists(self.item_counts)
        seen = encoded.seen_offsets, encoded.seen_items
        fewest = int(listed.sum()) - _most_seen(listed, *seen)
        if not 1 <= k <= fewest:
            raise InputError(
                f"lists of {k} items: it must be from 1 to {fewest}, the items that "
                f"every user has yet to see"
            )
        bias, scale = self.bias(serving), 1.0 / self.temperature
        best = top_k(encoded.vectors, self.item_vectors, bias, *seen, k=k, scale=scale)
        scores = np.empty(best.shape, np.float32)
        for start in range(0, len(best), TILE):  # not all listed vectors at once
            rows = slice(start, start + TILE)
            listed_vectors = self.item_vectors[best[rows]]
            scores[rows] = np.einsum(
                "vd,vkd->vk", encoded.vectors[rows], listed_vectors
            )
        return Lists(encoded.ids, self.items.names[best], scores * scale + bias[best])

    def rule_prior(self) -> float:
        """The popularity prior by the rule of the correction's strength.

        Raises:
          InputError: its table of items lacks the impressions of an item.
        """
        return rule_prior(self.log_q, self.items, self.config.logq)

    def bias(self, serving: Serving) -> Float[ndarray, " i"]:
        """What serving adds to each item's score; -inf leaves it out of lists."""
        return serving.bias(self.item_counts, self.items)

    def serving(
        self,
        prior: float | None = None,
        exposure: float | None = None,
        min_clicks: int | None = None,
    ) -> Serving:
        """How it is served: by the arguments that aren't None, else by its config.

        Raises:
          InputError: no item has so many clicks, or an item lacks its impressions.
        """
        fields = {"prior": prior, "exposure": exposure, "min_clicks": min_clicks}
        changes: dict[str, Any] = {n: v for n, v in fields.items() if v is not None}
        serving = Serving.of(self.config)._replace(**changes)
        serving.check(self.item_counts, self.items)
        return serving


def _most_seen(
    listed: Bool[ndarray, " i"],
    seen_offsets: Int[ndarray, " v1"],
    seen_items: Int[ndarray, " s"],
) -> int:
    """The largest number of listed items that any user has seen."""
    before = np.concatenate([[0], np.cumsum(listed[seen_items])])
    return int(np.diff(before[seen_offsets]).max(initial=0))


def saved_model(
    run: Prepared, trained: "Trained", about: Mapping[str, Any]
) -> SavedModel:
    """The model of a finished run."""
    import jax

    fitted, (_, sizes) = run.fold.fitted, run.world
    params = jax.tree.map(np.asarray, trained.params)
    # Over several devices large tables are filled up with rows of zeros.
    params["tables"] = {n: t[: sizes[n]] for n, t in params["tables"].items()}
    return SavedModel(
        run.config,
        params,
        fitted.users,
        fitted.items,
        fitted.item_counts,
        trained.item_vectors,
        trained.temperature,
        fitted.timed,
        about,
    )


def check_saveable(run: Prepared) -> None:
    """Refuses a run whose model could encode no users but those it trains on.

    Raises:
      InputError: it has no towers of users and items, its histories have a random
        order, or a user feature depends on more than the user's own row.
    """
    config = run.config
    if not is_towers(config):
        raise InputError(f"model {config.model} has no parameters to save")
    if not POSITIVES.choose(config.positives).ranks_items:
        raise InputError(f"positives {config.positives}: only user-item is saved")
    if config.history_order != "time":
        raise InputError(
            f"history_order {config.history_order}: a saved model needs that of time"
        )
    fitted = run.fold.fitted
    for name, feature in choose_features(USER, fitted, config).items():
        if feature.gives == PER_EVENT:
            reason = "needs ratings below the threshold"
        elif not _by_row({name: feature}, fitted, config):
            reason = "depends on who else is in the table"
        else:
            continue
        raise InputError(
            f"user feature '{name}' {reason}: it can't be made for other users"
        )


def _by_row(features: dict[str, Feature], fitted: Events, config: Config) -> bool:
    """Whether users have the same features when only every other one is asked for."""
    rows = np.arange(0, fitted.n_users, 2)
    half = fitted._replace(users=fitted.users.take(rows))
    whole = static_features(USER, features, fitted, config)
    try:
        part = static_features(USER, features, half, config, fitted.users)
    except ValueError:  # the feature has another number of rows
        return False
    same = [(whole.dense, part.dense)]
    same += [(code, part.codes[name]) for name, code in whole.codes.items()]
    return all(np.allclose(all_[rows], some, atol=1e-6) for all_, some in same)
