"""What some losses read beside logits, and what else their steps update.

That is the rows' scores with all candidates, state of the rows' users, and an opponent:
another pair of towers, which ascends the loss that the model descends.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from research.config import Config
from research.logits.candidates import columns_of
from research.logits.masks import Rows, UserPositives, keep_columns
from research.logits.reducers import Dense
from research.losses.context import Context, StepScores
from research.losses.entry import CATALOGUE, OPPONENT, STATE, Loss
from research.negatives.source import Drawn, Sources
from research.towers.inputs import look_up
from research.towers.towers import Rates, normalise
from research.train.model import Lookup, Model, Params, candidate_lookup, encode
from research.train.optimiser import OptimiserState, init_optimiser, move
from research.train.optimisers import Optimiser
from research.train.world import World
from research.types import Hyper, Pairs

Tables = tuple[Float[Array, "u d"], Float[Array, "i d"]]


class Opponent(NamedTuple):
    """Tables of users and items that ascend the loss, and their optimiser's state."""

    tables: Tables
    moments: OptimiserState


def init_opponent(optimiser: Optimiser, tables: Tables) -> Opponent:
    """The opponent before the first step."""
    return Opponent(tables, init_optimiser(optimiser, _as_params(tables)))


def _as_params(tables: Tables) -> Params:
    return {"tables": {}, "opponent": tables}


class Scorer(NamedTuple):
    """A step's rows, the columns drawn for them, and what scores them.

    Attributes:
      config: the masks.
      model: the towers.
      sources: of the columns.
      drawn: the columns.
      batch: the rows.
      known: their known positives where they are to be masked, else None.
      world: the candidates.
    """

    config: Config
    model: Model
    sources: Sources
    drawn: tuple[Drawn, ...]
    batch: Pairs
    known: UserPositives | None
    world: World

    def catalogue(
        self, nets: Params, tables: Params, query: Float[Array, "b d"]
    ) -> Float[Array, "b i"]:
        """Scores of the rows with all candidates, without dropout."""
        ids = jnp.arange(self.world.pool.counts.shape[0], dtype=jnp.int32)
        lookup = candidate_lookup(self.model, self.world, ids, self.batch.position)
        rows = look_up(tables, lookup.ids)
        return query @ encode(self.model, nets, rows, lookup, Rates(), None).T

    def columns(self, scores: Callable[[Int[Array, "..."]], Array]) -> Dense:
        """Scores of the drawn columns, in the order of logits that are held whole."""
        place = jnp.arange(self.batch.query.shape[0], dtype=jnp.int32)
        rows = Rows(place, self.batch.candidate, self.known)
        found = []
        for source, block in zip(self.sources, self.drawn, strict=True):
            columns = columns_of(source, block, self.config.mask_same_item)
            found.append((scores(block.ids), keep_columns(rows, columns)))
        return Dense(*(jnp.concatenate(part, axis=1) for part in zip(*found)))

    def context(
        self, loss: Loss, context: Context, nets: Params, tables: Params, state: Any
    ) -> Context:
        """The context with what the loss needs."""
        query = self.batch.query
        if CATALOGUE in loss.needs:
            scores = self.catalogue(nets, tables, context.query)
            context = context._replace(catalogue=lax.stop_gradient(scores))
        if STATE in loss.needs:
            context = context._replace(state=_of_rows(state, query))
        if OPPONENT in loss.needs:
            users, items = nets["opponent"]
            hardness = self.columns(partial(_cosines, users[query], items))
            context = context._replace(hardness=hardness)
        return context

    def due_moves(
        self,
        loss: Loss,
        optimiser: Optimiser,
        state: Any,
        moved: tuple[Params, OptimiserState],
        climb: Tables | None,
        queries: Lookup,
        hyper: Hyper,
    ) -> tuple[tuple[Params, OptimiserState], Any, Opponent | tuple[()]]:
        """What a step leads to under a loss for which some epochs are due (Loss.due).

        Returns:
          (parameters and optimiser state, the loss's state of users, the opponent).
        """
        assert loss.due is not None
        steps = self.world.pairs.candidate.shape[0] // self.batch.query.shape[0]
        due = loss.due(hyper, state.step // steps)
        of_users, opponent = state.loss, state.opponent
        if climb is not None:
            before = state.params, state.optimiser
            moved, opponent = _take_turns(
                optimiser, before, moved, opponent, climb, hyper, due
            )
        if loss.observe is not None:
            arguments = loss, state.loss, moved[0], queries, hyper
            of_users = lax.cond(
                due, lambda: self._observed(*arguments), lambda: state.loss
            )
        return moved, of_users, opponent

    def _observed(
        self, loss: Loss, of_users: Any, params: Params, queries: Lookup, hyper: Hyper
    ) -> Any:
        """The state of users after a step that led to these parameters."""
        assert loss.observe is not None
        rows = look_up(params["tables"], queries.ids)
        query = encode(self.model, params, rows, queries, Rates(), None)
        scores = self.catalogue(params, params["tables"], query)
        step = StepScores(scores, self.columns(partial(_picked, scores)))
        after = loss.observe(_of_rows(of_users, self.batch.query), step, hyper)
        return jax.tree.map(
            lambda users, rows: users.at[self.batch.query].set(rows), of_users, after
        )


def _picked(scores: Float[Array, "b i"], ids: Int[Array, "..."]) -> Array:
    """The scores with some items, shared by the rows [c] or each row's own [b, k]."""
    if ids.ndim == 1:
        return scores[:, ids]
    return jnp.take_along_axis(scores, ids, axis=1)


def _cosines(
    users: Float[Array, "b d"], items: Float[Array, "i d"], ids: Int[Array, "..."]
) -> Array:
    """Cosines with some items: [c] of the rows, or [b, k] looked up among all items."""
    if ids.ndim == 1:
        return normalise(users) @ normalise(items[ids]).T
    return _picked(normalise(users) @ normalise(items).T, ids)


def _of_rows(state: Any, query: Int[Array, " b"]) -> Any:
    return jax.tree.map(lambda users: users[query], state)


def _take_turns(
    optimiser: Optimiser,
    before: tuple[Any, Any],
    after: tuple[Any, Any],
    opponent: Opponent,
    grads: Tables,
    hyper: Hyper,
    due: Bool[Array, ""],
) -> tuple[tuple[Any, Any], Opponent]:
    """Parameters and state after a step in which either model or opponent moves."""
    up = {"opponent": jax.tree.map(jnp.negative, grads)}
    rates = {**hyper, "learning_rate": hyper["opponent_rate"]}
    tables = _as_params(opponent.tables)
    params, moments = move(optimiser, tables, up, [], opponent.moments, rates)
    moved = Opponent(params["opponent"], moments)
    choose = partial(jax.tree.map, partial(jnp.where, due))
    return choose(before, after), choose(moved, opponent)
