"""The two towers of a config, from ids to vectors: what training and serving share."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from research.config import Config
from research.losses import start_values
from research.positives import POSITIVES
from research.positives.tasks import RetrievalTask
from research.registry import CACHES, loaded
from research.rng import stream
from research.towers import ENCODERS, uses_history
from research.towers.inputs import (
    HistoryLookup,
    ItemInput,
    ItemLookup,
    Rows,
    UserInput,
    history_lookup,
    init_tables,
    item_input,
    item_lookup,
    look_up,
    user_input,
)
from research.towers.towers import ItemTower, Rates, UserTower
from research.train.world import World, bare
from research.types import Pairs

Params = dict[str, Any]


class Model(NamedTuple):
    """The pure functions of a config's two towers; it holds structure and no arrays.

    query and candidate name the towers that encode them: user or item. lengths says
    whether serving ranks by vectors before they are normalised.
    """

    user: UserTower
    item: ItemTower
    history: int
    shuffled: bool
    dim: int
    query: str = "user"
    candidate: str = "item"
    lengths: bool = False

    def to_serve(self) -> "Model":
        """The towers for serving, whose vectors may not be normalised."""
        if not self.lengths:
            return self
        return self._replace(
            user=self.user.clone(output="dot"), item=self.item.clone(output="dot")
        )

    def init(
        self, key: Key[Array, ""], sizes: dict[str, int], world: World, config: Config
    ) -> Params:
        """Parameters: tables by name, the two nets, and what the loss learns."""
        tables = init_tables(stream(key, "tables"), sizes, self.dim, config.table_scale)
        # Shapes suffice: lazy_init computes initial values and no vectors.
        one = jax.ShapeDtypeStruct((1,), jnp.int32)
        user = jax.eval_shape(lambda u: self.user_input(tables, world, u, u), one)
        item = jax.eval_shape(lambda i: self.item_input(tables, world, i), one)
        return {
            "tables": tables,
            "user": self.user.lazy_init(stream(key, "user tower"), user, Rates(), None),
            "item": self.item.lazy_init(stream(key, "item tower"), item),
            "loss": {
                name: jnp.array(value, jnp.float32)  # else epoch 2 would compile anew
                for name, value in start_values(config).items()
            },
        }

    def look_at(
        self, world: World, entity: Int[Array, " b"], position: Int[Array, " b"]
    ) -> HistoryLookup:
        """The table rows that users at positions need."""
        return history_lookup(
            world.users,
            world.item,
            world.offsets,
            entity,
            position,
            self.history,
            self.shuffled,
            world.timed,
        )

    def user_input(
        self,
        tables: dict[str, Float[Array, "..."]],
        world: World,
        entity: Int[Array, " b"],
        position: Int[Array, " b"],
    ) -> UserInput:
        """The user tower's input for users at positions."""
        lookup = self.look_at(world, entity, position)
        return user_input(look_up(tables, lookup.ids), lookup, self.dim)

    def item_input(
        self,
        tables: dict[str, Float[Array, "..."]],
        world: World,
        ids: Int[Array, " c"],
    ) -> ItemInput:
        """The item tower's input for items."""
        lookup = item_lookup(world.items, ids, world.timed)
        return item_input(look_up(tables, lookup.ids), lookup)

    def serve_users(
        self,
        params: Params,
        world: World,
        entity: Int[Array, " b"],
        position: Int[Array, " b"],
    ) -> Float[Array, "b d"]:
        """User vectors for serving: the history is what stands before the position."""
        given = self.user_input(params["tables"], world, entity, position)
        vectors: Array = self.user.apply(params["user"], given, Rates(), None)  # type: ignore[assignment]
        return vectors

    def serve_items(
        self, params: Params, world: World, ids: Int[Array, " c"]
    ) -> Float[Array, "c d"]:
        """Item vectors for serving."""
        given = self.item_input(params["tables"], world, ids)
        vectors: Array = self.item.apply(params["item"], given)  # type: ignore[assignment]
        return vectors


def make_model(config: Config) -> Model:
    """The model of a config's structure."""
    encoder = loaded(ENCODERS[config.encoder])
    used = config.history if uses_history(config) else 0
    return Model(
        user=UserTower(
            encoder.module,
            config.user_hidden,
            config.dim,
            config.output,
            config.layers,
            drops_clicks=config.click_dropout > 0,
            ordered=encoder.ordered,
        ),
        item=ItemTower(config.item_hidden, config.dim, config.output, config.layers),
        history=used,
        shuffled=config.history_order == "shuffled",
        dim=config.dim,
        query=POSITIVES.choose(config.positives).query,
        candidate=POSITIVES.choose(config.positives).candidate,
        lengths=config.serve_norm == "dot",
    )


def serve_all(
    model: Model,
    params: Params,
    world: World,
    queries: Int[Array | np.ndarray, " v"],
    candidates: Int[Array | np.ndarray, " i"] | None = None,
    tile: int = 512,
) -> tuple[Float[Array, "v d"], Float[Array, "i d"]]:
    """Vectors of the queries and of the candidates (default: all).

    A user is encoded with the whole history. Rows are encoded in tiles of constant
    shape, so that their number doesn't change a bit of any vector.
    """
    if candidates is None:
        candidates = np.arange(world.pool.counts.shape[0], dtype=np.int32)

    return (
        serve_side(model, model.query, params, world, queries, tile),
        serve_side(model, model.candidate, params, world, candidates, tile),
    )


def serve_side(
    model: Model,
    side: str,
    params: Params,
    world: World,
    ids: Int[Array | np.ndarray, " n"],
    tile: int = 512,
) -> Float[Array, "n d"]:
    """Vectors of users by whole history, or of items, in tiles of constant shape."""
    n = ids.shape[0]
    padded = np.pad(ids, (0, -n % tile))  # of NumPy: each slice would be a program
    parts = [
        _serve(model, side, params, world, padded[i : i + tile])
        for i in range(0, len(padded), tile)
    ]
    return jnp.concatenate(parts)[:n]


def serve_pairs(
    model: Model, params: Params, world: World, index: Int[Any, " n"]
) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
    """Vectors of the queries and the candidates of the pairs with these indices.

    A query that is a user is taken just before the pair's event; a candidate that is a
    user has its whole history.
    """
    pairs = _pairs(world.pairs, index)
    return (
        _serve(model, model.query, params, world, pairs.query, pairs.position),
        _serve(model, model.candidate, params, world, pairs.candidate),
    )


def _serve(
    model: Model,
    side: str,
    params: Params,
    world: World,
    ids: Int[Array | np.ndarray, " n"],
    position: Int[Array, " n"] | None = None,
) -> Float[Array, "n d"]:
    if side == "item":
        return _serve_items(model, params, world, ids)
    at = _ends(world.offsets, ids) if position is None else position
    return _serve_users(model, params, world, ids, at)


# Compiled whole: each of their operations would be a program of its own.
@jax.jit
def _pairs(pairs: Pairs, index: Int[Array, " n"]) -> Pairs:
    return Pairs(*(column[index] for column in pairs))


@jax.jit
def _ends(offsets: Int[Array, " u1"], ids: Int[Array, " n"]) -> Int[Array, " n"]:
    """The position after each user's last event."""
    return offsets[ids + 1]


_serve_users = jax.jit(Model.serve_users, static_argnums=0)
_serve_items = jax.jit(Model.serve_items, static_argnums=0)
CACHES.append(_serve_users.clear_cache)  # type: ignore[attr-defined]
CACHES.append(_serve_items.clear_cache)  # type: ignore[attr-defined]


Lookup = HistoryLookup | ItemLookup


def query_lookup(
    model: Model, world: World, ids: Int[Array, " b"], position: Int[Array, " b"]
) -> Lookup:
    """The table rows that queries need; a user's history ends before the position."""
    if model.query == "item":
        return item_lookup(world.items, ids)
    return model.look_at(world, ids, position)


def candidate_lookup(
    model: Model, world: World, ids: Int[Array, " c"], position: Int[Array, " b"]
) -> Lookup:
    """The table rows that candidates need, at the time of the batch's events.

    For a candidate that is a user, those of the whole history.
    """
    if model.candidate == "item":
        return item_lookup(world.items, ids, world.timed, position)
    return model.look_at(world, ids, world.offsets[ids + 1])


def encode(
    model: Model,
    nets: Params,
    rows: Rows,
    lookup: Lookup,
    rates: Rates,
    key: jax.Array | None,
) -> Float[Array, "n d"]:
    """Vectors by the tower that the lookup is for; only the user's has dropout."""
    vectors: Any
    if isinstance(lookup, HistoryLookup):
        given = user_input(rows, lookup, model.dim)
        vectors = model.user.apply(nets["user"], given, rates, key)
    else:
        vectors = model.item.apply(nets["item"], item_input(rows, lookup))
    found: Float[Array, "n d"] = vectors
    return found


def serve_task(
    model: Model, params: Params, world: World, task: RetrievalTask
) -> tuple[Array, Array]:
    """Vectors of a task's queries and candidates, from the histories that it gives."""
    if task.histories is not None:
        item, offsets = (jnp.asarray(part, jnp.int32) for part in task.histories)
        users = bare(len(offsets) - 1)
        world = world._replace(item=item, offsets=offsets, users=users)
    queries = jnp.asarray(task.queries, jnp.int32)
    candidates = jnp.asarray(task.candidates, jnp.int32)
    if task.words is not None:
        # In training there are no words at a user's end: that search is held out.
        ends = world.offsets[queries + 1] + queries
        words = world.timed.words.at[ends].set(jnp.asarray(task.words))
        world = world._replace(timed=world.timed._replace(words=words))
    return serve_all(model.to_serve(), params, world, queries, candidates)
