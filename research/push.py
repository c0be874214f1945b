"""Who pushes an item away: all the columns that hold it, or the batch's for them all.

A stored vector takes no gradient. A row with a cache of M columns pulls its positive's
vector in full, but pushes the vectors of its negatives only through the batch's own
columns, which hold a small part of the softmax's mass: pull and push no longer balance,
and all items drift to one side. That isn't staleness: fresh columns with their gradient
stopped do the same (``item_push`` batch), and it is mended without encoding a column
more (``item_push`` balanced).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from research.candidates import Block, Unencoded
from research.config import Config
from research.negatives.mixture import total_draws, union_log_q
from research.negatives.source import Pool

__all__ = ["push", "push_weight"]


def push(
    config: Config, blocks: tuple[Block, ...], pool: Pool, batch_size: int
) -> tuple[Block, ...]:
    """The blocks with the gradient of their items' vectors as the config wants it.

    Scores, losses and the queries' gradients are the same under every choice.

    Args:
      config: item_push: drawn leaves the blocks alone; batch stops the gradient of
        every column that isn't the batch's; balanced does too, and weighs the batch's
        by push_weight.
      blocks: of all sources.
      pool: what the sources draw from.
      batch_size: number of rows.
    """
    if config.item_push == "drawn":
        return blocks
    pushed = []
    for block in blocks:
        assert not isinstance(block.vectors, Unencoded)  # push needs them whole
        still = jax.lax.stop_gradient(block.vectors)
        if block.source.origin != "batch":
            pushed.append(block._replace(vectors=still))
        elif config.item_push == "balanced":
            weight = push_weight(block.drawn.ids, blocks, pool, batch_size)[:, None]
            moving = still + weight * (block.vectors - still)
            pushed.append(block._replace(vectors=moving))
        else:
            pushed.append(block)
    return tuple(pushed)


def push_weight(
    ids: Int[Array, " c"], blocks: tuple[Block, ...], pool: Pool, batch_size: int
) -> Float[Array, " c"]:
    """N Q'(j) / (n q(j)): columns of j expected in all, over those in the batch.

    n and q are of the batch's draws, N and Q' of the union (negatives/mixture.py). For
    a FIFO, which draws as the batch does, it is N / n, and the mean gradient over the
    ways in which a set of columns can fall into batch and bank is that of encoding them
    all. For other sources that holds to O(1 / N), and the weight of an item that the
    batch seldom holds is large. Own form: the papers on caches [wang2020xbm, wang2021]
    leave the push out. While a cache is cold the weight is 1.
    """
    own = tuple(block for block in blocks if block.source.origin == "batch")

    def log_expected(of: tuple[Block, ...]) -> Array:
        union = (tuple(b.source for b in of), tuple(b.memory for b in of))
        draws = total_draws(*union, pool, batch_size)
        return jnp.log(draws) + union_log_q(ids, *union, pool, batch_size)

    return jnp.exp(log_expected(blocks) - log_expected(own))
