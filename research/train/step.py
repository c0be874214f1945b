"""One training step: draw, look up, encode, score, take the loss, update."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from research.config import Config
from research.entries import own
from research.logits.candidates import (
    Block,
    LazyItems,
    candidate_logits,
    masked_share,
    push,
    split_blocks,
)
from research.logits.masks import rows_known
from research.logits.one_pass import chunked
from research.logits.reducers import LIMITS, Dense, Limits, Plan, choose_plan, hardest
from research.losses import LOSSES
from research.losses.context import Context
from research.losses.entry import CONTEXT, DENSE, VECTORS, Loss
from research.negatives import held_whole, make_sources
from research.negatives.frequencies import FREQUENCIES, Frequency
from research.negatives.source import Drawn, Sources, SourceStates
from research.registry import loaded
from research.rng import stream, worker_key
from research.temperature import TemperatureKind, kind_of
from research.temperature.kinds import Moment, Temperature, UserTemperatures
from research.towers.inputs import ItemLookup, Rows, item_lookup, look_up
from research.towers.towers import Rates as DropoutRates
from research.train.model import (
    Lookup,
    Model,
    Params,
    candidate_lookup,
    encode,
    make_model,
    query_lookup,
)
from research.train.optimiser import OptimiserState, Touched, decayed_rate, move
from research.train.optimisers import OPTIMISERS
from research.train.scored import Opponent, Scorer
from research.train.world import World
from research.types import Hyper, Pairs


class Drawing(NamedTuple):
    """A step's pairs, the negatives drawn for them, and the table rows both need."""

    batch: Pairs
    drawn: tuple[Drawn, ...]
    queries: Lookup
    candidates: Lookup
    lazy: dict[int, ItemLookup]  # by source: items in chunks, encoded block by block

    @property
    def lookups(self) -> tuple[Lookup, ...]:
        """All lookups, in the order in which their rows' gradients are added."""
        return (self.queries, self.candidates, *self.lazy.values())

    def touched(self, row_grads: tuple[Rows, ...]) -> list[Touched]:
        """The gradients of the rows of all lookups, by table."""
        return [
            Touched(table, lookup.ids[table], grads[table])
            for lookup, grads in zip(self.lookups, row_grads, strict=True)
            for table in grads
        ]


class TrainState(NamedTuple):
    """State between two steps; step counts from 0 over the whole run.

    frequency is what its entry keeps (research/negatives/frequencies.py), nothing where
    the click share is exact. temperatures is empty where users have none of their own,
    loss where it keeps nothing of users, opponent where it has none.
    """

    params: Params
    optimiser: OptimiserState
    source_states: SourceStates
    frequency: Any
    temperatures: UserTemperatures | tuple[()]
    loss: Any
    opponent: Opponent | tuple[()]
    key: Key[Array, ""]
    step: Int[Array, ""]


def _draw(
    model: Model,
    sources: Sources,
    state: TrainState,
    index: Int[Array, " b"],
    world: World,
    key: Key[Array, ""],
    choose: Callable[..., Plan],
) -> tuple[Drawing, Plan]:
    """Draws a step's negatives and plans its logits."""
    batch = Pairs(*(column[index] for column in world.pairs))
    drawn = tuple(
        source.draw(stream(key, f"{n} {source.name}"), batch, source_state, world.pool)
        for n, (source, source_state) in enumerate(
            zip(sources, state.source_states, strict=True)
        )
    )
    fresh = [source.origin == "fresh" for source in sources]
    shared, own = (
        tuple(
            block.ids.shape[-1] if encoded and block.ids.ndim == ndim else 0
            for encoded, block in zip(fresh, drawn, strict=True)
        )
        for ndim in (1, 2)
    )
    every = jnp.arange(len(world.pool.counts), dtype=jnp.int32)
    columns = sum(block.ids.shape[-1] for block in drawn)
    plan = choose(len(index), columns, shared, own, len(every))
    at_once, lazy = [batch.candidate], {}
    for n, block in enumerate(drawn):
        if plan.inside[n]:
            ids = chunked(block.ids, plan.columns)
            lazy[n] = item_lookup(world.items, ids, world.timed, batch.position)
        elif fresh[n]:
            at_once.append(every if plan.looked_up[n] else block.ids.reshape(-1))
    queries = query_lookup(model, world, batch.query, batch.position)
    ids = jnp.concatenate(at_once)
    candidates = candidate_lookup(model, world, ids, batch.position)
    return Drawing(batch, drawn, queries, candidates, lazy), plan


def row_losses(
    loss: Loss,
    config: Config,
    plan: Plan,
    context: Context,
    blocks: tuple[Block, ...],
    batch: Pairs,
    world: World,
    hyper: Hyper,
    temperature: Temperature,
) -> tuple[Float[Array, " b"], Float[Array, ""]]:
    """The loss of each row, and the share of columns masked.

    Raises:
      ValueError: the loss has not returned one value per row.
    """
    known = None
    if config.mask_user_positives:
        known = rows_known(world.known, batch.query)
    query, item = context.query, context.positive
    rest = batch, world.pool, known, hyper, temperature, plan
    positive, negatives = candidate_logits(config, query, item, blocks, *rest)
    masked = masked_share(negatives, blocks)
    if config.hardest:
        assert isinstance(negatives, Dense)
        negatives = hardest(negatives, config.hardest)
    common = jnp.mean(temperature.row)
    items = jnp.float32(world.pool.counts.shape[0])
    hyper = {**hyper, "temperature": common, "items": items}
    if context.catalogue is not None:
        every = jnp.arange(world.pool.counts.shape[0], dtype=jnp.int32)
        scores = context.catalogue / temperature.columns(every)
        context = context._replace(catalogue=scores)
    arguments = (context,) if loss.needs & CONTEXT else ()
    values = loss.fn(positive, negatives, hyper, *arguments)
    if values.shape != positive.shape:  # else the batch's mean would broadcast it
        raise ValueError(
            f"loss {config.loss}: expected one value per row, {list(positive.shape)}, "
            f"not {list(values.shape)}"
        )
    return values, masked


Diagnostics = dict[str, Float[Array, ""]]


Step = Callable[
    [TrainState, Int[Array, " b"], Hyper, World], tuple[TrainState, Diagnostics]
]


def make_step(config: Config, limits: Limits = LIMITS) -> Step:
    """The step of a config's structure: (state, indices [b] of pairs, hyper, world).

    It differentiates with respect to the nets and to the rows looked up, so that the
    optimiser knows which rows of the tables were touched.
    """
    model, sources = make_model(config), make_sources(config.negatives, config)
    optimiser, loss, kind, shares = _entries(config)
    whole = held_whole(config) is not None or DENSE in loss.needs
    choose = partial(choose_plan, whole=whole, one_pass=loss.one_pass, limits=limits)
    objective = _make_objective(config, model, sources)
    kind_text = config.temperature_kind

    def step(
        state: TrainState, index: Int[Array, " b"], hyper: Hyper, world: World
    ) -> tuple[TrainState, Diagnostics]:
        key = jax.random.fold_in(state.key, state.step)
        of_share, of_kind = own(hyper, config.frequency), own(hyper, kind_text)
        world = with_share(shares, world, state, len(index), of_share)
        draw_key = _draw_key(config, state, world, key)
        drawing, plan = _draw(model, sources, state, index, world, draw_key, choose)
        # Drawn once: the compiler would look histories up again for the optimiser.
        drawing = jax.lax.optimization_barrier(drawing)
        rows = tuple(look_up(state.params["tables"], l.ids) for l in drawing.lookups)
        nets = {name: state.params[name] for name in ("user", "item", "loss")}
        if isinstance(state.opponent, Opponent):
            nets["opponent"] = state.opponent.tables
        (_, (diagnostics, positive, losses)), (net_grads, row_grads) = (
            jax.value_and_grad(objective, argnums=(0, 1), has_aux=True)(
                nets, rows, drawing, plan, state, hyper, world, key
            )
        )
        climb, touched = net_grads.pop("opponent", None), drawing.touched(row_grads)
        if config.rate_end != 1:
            hyper = _decayed(hyper, config, state, world)
        params, moments = move(
            optimiser, state.params, net_grads, touched, state.optimiser, hyper
        )
        if kind.project is not None:
            params["loss"] = kind.project(params["loss"], of_kind)
        if loss.project is not None:
            params["loss"] = loss.project(state.params["loss"], params["loss"], hyper)
        batch, moved = drawing.batch, (params, moments)
        users, opponent, temperatures = state.loss, state.opponent, state.temperatures
        if loss.due is not None:
            scorer = scorer_of(config, model, sources, drawing, world)
            moved, users, opponent = scorer.due_moves(
                loss, optimiser, state, moved, climb, drawing.queries, hyper
            )
        source_states = tuple(
            source.update(source_state, batch, positive, world.pool)
            for source, source_state in zip(sources, state.source_states, strict=True)
        )
        frequency = _share_after(shares, state, batch, of_share)
        if kind.observe is not None:
            temperatures = kind.observe(temperatures, batch.query, losses)
        after = *moved, source_states, frequency, temperatures, users, opponent
        return TrainState(*after, state.key, state.step + 1), diagnostics

    return step


def _entries(config: Config) -> tuple[Any, Loss, TemperatureKind, Frequency]:
    """The optimiser, loss, temperature and click share that a config names, loaded."""
    optimiser, loss = OPTIMISERS[config.optimiser], LOSSES.choose(config.loss)
    kind, shares = kind_of(config), FREQUENCIES.choose(config.frequency)
    return loaded(optimiser), loaded(loss), loaded(kind), loaded(shares)


def _draw_key(
    config: Config, state: TrainState, world: World, key: Key[Array, ""]
) -> Key[Array, ""]:
    """The key of a step's draws: the step's own, unless loader workers repeat them."""
    if not config.loader_workers:
        return key
    steps = max(world.pairs.candidate.shape[0] // config.batch, 1)
    return worker_key(state.key, state.step % steps, config.loader_workers)


def _progress(
    state: TrainState, world: World, batch: int, hyper: Hyper
) -> Float[Array, ""]:
    """How far training has come: 0 at the first step of a run, 1 at its last."""
    steps = hyper["epochs"] * (world.pairs.candidate.shape[0] // batch)
    return state.step.astype(jnp.float32) / jnp.maximum(steps - 1.0, 1.0)


def _decayed(hyper: Hyper, config: Config, state: TrainState, world: World) -> Hyper:
    """The traced values with the step's learning rate, which falls along a cosine."""
    progress = _progress(state, world, config.batch, hyper)
    rate = decayed_rate(hyper["learning_rate"], config.rate_end, progress)
    return {**hyper, "learning_rate": rate}


def _share_after(
    shares: Frequency, state: TrainState, batch: Pairs, hyper: Hyper
) -> Any:
    """The state of the click share after a step."""
    if shares.observe is None:
        return state.frequency
    return shares.observe(state.frequency, batch.candidate, state.step, hyper)


def with_share(
    shares: Frequency, world: World, state: TrainState, batch: int, hyper: Hyper
) -> World:
    """The world with its click share as estimated before this step."""
    if shares.log_share is None:
        return world
    pool = world.pool
    share = shares.log_share(state.frequency, pool, state.step, batch, hyper)
    return world._replace(pool=pool._replace(log_share=share))


def scorer_of(
    config: Config, model: Model, sources: Sources, drawing: Drawing, world: World
) -> Scorer:
    """What scores a step's rows with all candidates."""
    known = None
    if config.mask_user_positives:
        known = rows_known(world.known, drawing.batch.query)
    return Scorer(config, model, sources, drawing.drawn, drawing.batch, known, world)


def _make_objective(
    config: Config, model: Model, sources: Sources
) -> Callable[..., tuple[Float[Array, ""], Any]]:
    """(nets, rows looked up, drawing, plan, state, hyper, world, key) -> mean loss.

    Beside the mean it returns diagnostics, the positives' vectors, and losses of the
    rows that are comparable between users.
    """

    kind, loss = loaded(kind_of(config)), loaded(LOSSES.choose(config.loss))

    def objective(
        nets: Params,
        rows: tuple[Rows, ...],
        drawing: Drawing,
        plan: Plan,
        state: TrainState,
        hyper: Hyper,
        world: World,
        key: Key[Array, ""],
    ) -> tuple[
        Float[Array, ""], tuple[Diagnostics, Float[Array, "b d"], Float[Array, " b"]]
    ]:
        batch, size = drawing.batch, drawing.batch.candidate.shape[0]
        rates = DropoutRates(hyper["dropout"], hyper["click_dropout"])
        first = second = None
        if config.dropout or config.click_dropout:  # 0 only where nothing is dropped
            first, second = stream(key, "dropout"), stream(key, "candidate dropout")
        query = encode(model, nets, rows[0], drawing.queries, rates, first)
        vectors = encode(model, nets, rows[1], drawing.candidates, rates, second)
        encode_items = partial(model.item.apply, nets["item"])
        inside = zip(drawing.lazy.items(), rows[2:], strict=True)
        lazy = {n: LazyItems(ids, at, encode_items) for (n, ids), at in inside}
        origins = sources, state.source_states, drawing.drawn, size, lazy
        items = world.pool.counts.shape[0]
        blocks = split_blocks(vectors, *origins, plan.looked_up, items)
        blocks = push(config, blocks, world.pool, size)
        progress = _progress(state, world, size, hyper)
        learned, users = nets["loss"], state.temperatures
        moment = Moment(config, learned, users, batch, world.pool, progress)
        temperature = kind.at(moment, own(hyper, config.temperature_kind))
        context, traced = Context(query, vectors[:size]), {**hyper, **learned}
        if loss.needs & CONTEXT - {VECTORS}:
            scorer = scorer_of(config, model, sources, drawing, world)
            tables = state.params["tables"]
            context = scorer.context(loss, context, nets, tables, state.loss)
        arguments = loss, config, plan, context, blocks, batch, world, traced
        losses, masked = row_losses(*arguments, temperature)
        comparable = losses
        if kind.observe is not None:
            # Users are compared at one temperature, whatever they have now.
            comparable, _ = row_losses(*arguments, Temperature(hyper["temperature"]))
        mean, common = jnp.mean(batch.weight * losses), jnp.mean(temperature.row)
        diagnostics = {"loss": mean, "masked": masked, "temperature": common}
        return mean, (diagnostics, context.positive, comparable)

    return objective
