"""Registry of the optimisers. Reading it needs neither JAX nor optax."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from research.registry import Registry, deferred

ADAM = deferred("optax:scale_by_adam")
AS_IT_IS = deferred("optax:identity")  # the gradient alone gives the step


@dataclass(frozen=True)
class Optimiser:
    """Two optax transformations, of the nets and of the embedding tables.

    Each gives the direction of a step; weight decay and the learning rate follow it
    (research/train/optimiser.py), or the decay comes first.

    Attributes:
      help: one line.
      tables: makes the transformation of a table. Where only touched rows move, it must
        treat each row alone: arrays of its state have a row per row of the table.
      nets: makes the transformation of everything else.
      touched_only: whether only the rows that a step looked up move and decay.
      whole: table rows per lookup of a step, up to which a table of touched rows is
        moved as a whole.
      decay_first: whether weight decay is part of the gradient, and so of the moments:
        an L2 term of the loss.
    """

    help: str
    tables: Callable[[], Any]
    nets: Callable[[], Any] = ADAM
    touched_only: bool = False
    whole: int = 1
    decay_first: bool = False


OPTIMISERS: Registry[Optimiser] = Registry(
    "optimiser",
    {
        "adamw": Optimiser("AdamW on every parameter [loshchilov2019]", ADAM),
        "lazy-adam": Optimiser(
            "Adam on the rows that a step looked up, AdamW on the nets [kingma2015]",
            tables=deferred("research.train.optimiser:scale_by_row_adam"),
            touched_only=True,
        ),
        "rowwise-adagrad": Optimiser(
            "Adagrad with one sum of squares per row, AdamW on the nets [lerer2019]",
            tables=deferred("research.train.optimiser:scale_by_row_rss"),
            touched_only=True,
        ),
        "sgd": Optimiser(
            "Stochastic gradient descent; of the tables, looked-up rows alone decay",
            tables=AS_IT_IS,
            nets=AS_IT_IS,
            touched_only=True,
        ),
        "adam-l2": Optimiser(
            "Adam on every parameter, weight decay as an L2 term [kingma2015]",
            ADAM,
            decay_first=True,
        ),
    },
)
