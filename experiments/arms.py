"""Named arms: what each changes against the reference recipe, and nothing else."""

import dataclasses
from typing import Any

from research.choose import choose
from research.config import Config

__all__ = ["ARMS", "arm"]

_UNIFORM = "uniform:1024"
_ID_ONLY: dict[str, Any] = {"user_features": (), "item_features": ("id",)}

ARMS: dict[str, dict[str, Any]] = {
    # Rows that need no seed.
    "popularity": {"model": "popularity"},
    "ease": {"model": "ease"},
    # The 2 x 2 of {uniform, in-batch} by {sigmoid, softmax}, and corrected pointwise.
    "pointwise-sigmoid": {"loss": "sigmoid", "negatives": ("uniform-per-row:8",)},
    "in-batch-sigmoid": {"loss": "sigmoid"},
    "binary-nce": {"loss": "binary-nce", "logq": 1.0, "expected_count": True},
    "uniform-softmax": {"negatives": (_UNIFORM,), "logq": 1.0},
    # The question of the grid ssb: in-batch negatives and what mends them.
    "in-batch": {},
    "in-batch+prior": {"prior": 1.0},
    "in-batch+logq": {"logq": 1.0},
    "mixed": {"negatives": ("in-batch", _UNIFORM)},
    "mixed+logq": {"negatives": ("in-batch", _UNIFORM), "logq": 1.0},
    # As many extra columns, drawn from the click share: is it the number or the kind?
    "mixed-popularity+logq": {
        "negatives": ("in-batch", "popularity:1024"),
        "logq": 1.0,
    },
    "full-softmax": {"negatives": ("catalogue",)},
    # Masks, each a switch.
    "in-batch+logq+same-item": {"logq": 1.0, "mask_same_item": True},
    "in-batch+logq+mask": {"logq": 1.0, "mask_user_positives": True},
    "full-softmax+mask": {"negatives": ("catalogue",), "mask_user_positives": True},
    # Without demographics, genres and year.
    "in-batch+logq-id-only": {"logq": 1.0, **_ID_ONLY},
    "full-softmax-id-only": {"negatives": ("catalogue",), **_ID_ONLY},
}


def arm(name: str, base: Config | None = None) -> Config:
    """The config of a named arm over a base (default: the reference recipe).

    Raises:
      InputError: no arm has that name.

    >>> arm("in-batch+logq").logq
    1.0
    """
    return dataclasses.replace(base or Config(), **choose(name, ARMS, "arm"))
