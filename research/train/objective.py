"""From vectors to losses: scores, corrections, masks, selection, then the loss."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from research.blocking import blocked_logits, is_blocked
from research.candidates import Block, candidate_logits, masked_share, rows_known
from research.config import Config
from research.losses import LOSSES, Context
from research.losses.negatives import Dense, Negatives
from research.negatives.hard import hardest
from research.negatives.source import Batch, Hyper
from research.temperature import Temperature
from research.train.world import World

__all__ = ["make_lose"]


def make_lose(
    config: Config,
) -> Callable[..., tuple[Float[Array, " b"], Float[Array, ""]]]:
    """(pair, blocks, batch, world, hyper, temperature) -> losses [b], share masked.

    pair and blocks hold the vectors; hyper is what is traced and what the loss learns.
    """
    loss = LOSSES[config.loss]

    def lose(
        pair: Context,
        blocks: tuple[Block, ...],
        batch: Batch,
        world: World,
        hyper: Hyper,
        temperature: Temperature,
    ) -> tuple[Float[Array, " b"], Float[Array, ""]]:
        known = None
        if config.mask_user_positives:
            known = rows_known(world.known, batch.query)
        columns = sum(block.drawn.ids.shape[-1] for block in blocks)
        given = (*pair, blocks, batch, world.pool, known, hyper, temperature)
        negatives: Negatives
        if is_blocked(config, batch.candidate.shape[0], columns):
            positive, negatives = blocked_logits(config, *given)
        else:
            positive, negatives = candidate_logits(config, *given)
        masked = masked_share(negatives, blocks)
        if config.hardest:
            assert isinstance(negatives, Dense)
            negatives = hardest(negatives, config.hardest)
        common = jax.lax.stop_gradient(jnp.mean(temperature.row))
        items = jnp.float32(world.pool.counts.shape[0])
        told = {**hyper, "temperature": common, "items": items}
        return loss(positive, negatives, told, pair), masked

    return lose
