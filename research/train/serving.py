"""The vectors that a task asks for, out of a trained model."""

import jax.numpy as jnp
from jaxtyping import Array

from research.retrieval import Asked
from research.train.model import Model, Params, serve_all
from research.train.world import World, bare

__all__ = ["serve_task"]


def serve_task(
    model: Model, params: Params, world: World, task: Asked
) -> tuple[Array, Array]:
    """Vectors of a task's queries and candidates, from the histories that it gives."""
    if task.histories is not None:
        item, offsets = (jnp.asarray(part, jnp.int32) for part in task.histories)
        users = bare(len(offsets) - 1)
        world = world._replace(item=item, offsets=offsets, users=users)
    queries = jnp.asarray(task.queries, jnp.int32)
    candidates = jnp.asarray(task.candidates, jnp.int32)
    if task.words is not None:
        # Training never had the rows at a user's end: what is searched for is held out.
        ends = world.offsets[queries + 1] + queries
        words = world.timed.words.at[ends].set(jnp.asarray(task.words))
        world = world._replace(timed=world.timed._replace(words=words))
    return serve_all(model, params, world, queries, candidates)
