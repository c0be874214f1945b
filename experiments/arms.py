"""Named arms: what each changes against the reference recipe, and nothing else."""

import dataclasses
from typing import Any

from experiments.tower_arms import TOWER_ARMS
from research.baselines import BASELINES
from research.choose import choose
from research.config import Config

__all__ = ["ARMS", "arm"]

_UNIFORM = "uniform:1024"
_EXACT: dict[str, dict[str, Any]] = {
    "in-batch+logq": {"logq": 1.0},
    "full-softmax": {"negatives": ("catalogue",)},
}
_MOVING: dict[str, dict[str, Any]] = {
    "scheduled": {"temperature": 0.3, "temperature_end": 0.1},
}
_ID_ONLY: dict[str, Any] = {"user_features": (), "item_features": ("id",)}

ARMS: dict[str, dict[str, Any]] = {
    # The models to beat, each with the options that its choice left as defaults.
    **{name: {"model": name} for name in BASELINES},
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
    # Optimisers that move the touched rows of the tables.
    "lazy-adam": {"logq": 1.0, "optimiser": "lazy-adam"},
    "rowwise-adagrad": {"logq": 1.0, "optimiser": "rowwise-adagrad"},
    # Masks, each a switch.
    "in-batch+logq+same-item": {"logq": 1.0, "mask_same_item": True},
    "in-batch+logq+mask": {"logq": 1.0, "mask_user_positives": True},
    "full-softmax+mask": {"negatives": ("catalogue",), "mask_user_positives": True},
    # Only where positives are user-user does it matter.
    "full-softmax+time-halves": {"negatives": ("catalogue",), "halves": "time"},
    # What negatives are drawn from, and which of those drawn are used.
    "in-batch-part+logq": {"negatives": ("in-batch-part:63",), "logq": 1.0},
    "extra+logq": {"negatives": ("in-batch", "extra:1024"), "logq": 1.0},
    "hardest": {"negatives": ("in-batch", _UNIFORM), "hardest": 10},
    "rank-band": {"negatives": ("uniform:1000", "rank-band:10")},
    # Caches, of positives and of items; the third is the paper's, with the q it stored.
    "fifo-cache+logq": {"negatives": ("in-batch", "fifo-cache:4096"), "logq": 1.0},
    "vector-cache+logq": {"negatives": ("in-batch", "vector-cache:1024"), "logq": 1.0},
    "fifo-cache-stored+logq": {
        "negatives": ("in-batch", "fifo-cache-stored:4096"),
        "logq": 1.0,
        "frequency": "streaming",
    },
    "fifo-cache+logq-streaming": {
        "negatives": ("in-batch", "fifo-cache:4096"),
        "logq": 1.0,
        "frequency": "streaming",
    },
    # The push that stored vectors lack, put back on the batch's; and taken away.
    "fifo-cache+logq+push": {
        "negatives": ("in-batch", "fifo-cache:4096"),
        "logq": 1.0,
        "item_push": "balanced",
    },
    "vector-cache+logq+push": {
        "negatives": ("in-batch", "vector-cache:1024"),
        "logq": 1.0,
        "item_push": "balanced",
    },
    "mixed-popularity+logq-stopped": {
        "negatives": ("in-batch", "popularity:1024"),
        "logq": 1.0,
        "item_push": "batch",
    },
    # Corrections.
    "in-batch+logq-streaming": {"logq": 1.0, "frequency": "streaming"},
    "in-batch+logq-distinct": {
        "logq": 1.0,
        "duplicates": "inclusion",
        "mask_same_item": True,
    },
    "weighted-softmax+logq": {
        "loss": "weighted-softmax",
        "logq": 1.0,
        "correct_positive": False,
        "leave_own_out": True,
        "expected_count": True,
        "mask_same_item": True,
    },
    # One loss each; those of many negatives are corrected, as uncorrected they compare
    # draws and not losses.
    "decoupled-softmax+logq": {"loss": "decoupled-softmax", "logq": 1.0},
    "debiased+logq": {"loss": "debiased", "logq": 1.0},
    "hard-negative+logq": {"loss": "hard-negative", "logq": 1.0},
    "bilateral-softmax+logq": {"loss": "bilateral-softmax", "logq": 1.0},
    "bpr": {"loss": "bpr", "negatives": ("uniform-per-row:1",)},
    "bpr-mean": {"loss": "bpr", "negatives": (_UNIFORM,)},
    "hinge": {"loss": "hinge", "negatives": (_UNIFORM,)},
    "cosine-contrastive": {"loss": "cosine-contrastive", "negatives": (_UNIFORM,)},
    "gbce": {"loss": "gbce", "negatives": ("uniform-per-row:8",)},
    "siglip": {"loss": "siglip"},
    "align-uniform": {"loss": "align-uniform"},
    # Temperatures that move.
    **{
        f"{name}-{kind}": {**changes, "temperature_kind": kind, **_MOVING.get(kind, {})}
        for name, changes in _EXACT.items()
        for kind in ("learned", "scheduled", "per-user", "by-popularity")
    },
    # Without demographics, genres and year.
    "in-batch+logq-id-only": {"logq": 1.0, **_ID_ONLY},
    "full-softmax-id-only": {"negatives": ("catalogue",), **_ID_ONLY},
    **TOWER_ARMS,
}


def arm(name: str, base: Config | None = None) -> Config:
    """The config of a named arm over a base (default: the reference recipe).

    Raises:
      InputError: no arm has that name.

    >>> arm("in-batch+logq").logq
    1.0
    """
    return dataclasses.replace(base or Config(), **choose(name, ARMS, "arm"))
