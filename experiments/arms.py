"""Named arms: the config changes of each against the reference recipe."""

import dataclasses
from typing import Any

from research.baselines import BASELINES
from research.config import Config
from research.types import choose

_HISTORY: dict[str, dict[str, Any]] = {
    "encoder-none": {"encoder": "none"},
    "encoder-learned": {"encoder": "learned"},
    "encoder-profile": {"encoder": "profile"},
    "encoder-last-click": {"encoder": "last-click"},
    "encoder-self-attention": {"encoder": "self-attention"},
    "encoder-query": {"encoder": "query", "search": "simulated"},
    # The same items in random order: controls for what the order contributes.
    "encoder-last-click-shuffled": {
        "encoder": "last-click",
        "history_order": "shuffled",
    },
}

_USER = ("gender", "age", "occupation", "zip")
_ITEM = ("id", "genres", "year")
_FEATURES: dict[str, dict[str, Any]] = {
    # One feature more than the reference recipe.
    "features+user-id": {"user_features": (*_USER, "id")},
    "features+genre-profile": {"user_features": (*_USER, "genre-profile")},
    "features+history-age": {"user_features": (*_USER, "history-age")},
    "features+title": {"item_features": (*_ITEM, "title")},
    "features+profile": {"item_features": (*_ITEM, "profile")},
    "features+dynamic": {"item_features": (*_ITEM, "dynamic")},
    # The order of batches that dynamic needs, without dynamic: its control.
    "features+time-order": {"batch_order": "time"},
    # One feature less.
    "features-demographics": {"user_features": ()},
    "features-history": {"encoder": "none"},
    "features-item-id": {"item_features": ("genres", "year")},
    "features-genres": {"item_features": ("id", "year")},
    "features-year": {"item_features": ("id", "genres")},
    # All features that do not change the order of batches, except the user's id.
    "features-all": {
        "user_features": (*_USER, "genre-profile", "history-age"),
        "item_features": (*_ITEM, "title", "profile"),
    },
}

# Hidden layers of both towers, or of one tower.
_DEPTH: dict[str, dict[str, Any]] = {
    f"layers-{name}": {"user_hidden": widths, "item_hidden": widths}
    for name, widths in {
        "none": (),
        "64": (64,),
        "256": (256,),
        "512": (512,),
        "128-128": (128, 128),
        "256-128": (256, 128),
        "128-128-128": (128, 128, 128),
    }.items()
} | {
    "layers-none-of-user": {"user_hidden": ()},
    "layers-none-of-item": {"item_hidden": ()},
}

# Wider towers over a longer history, chosen on validation.
_CHOSEN: dict[str, Any] = {
    "negatives": ("catalogue",),
    "mask_user_positives": True,
    "temperature": 0.15,
    "history": 200,
    "dim": 128,
    "user_hidden": (256,),
    "item_hidden": (256,),
    "dropout": 0.1,
}

TOWER_ARMS: dict[str, dict[str, Any]] = {
    name: {"logq": 1.0, **changes}
    for name, changes in (_HISTORY | _FEATURES | _DEPTH).items()
} | {"larger-towers": _CHOSEN}


_UNIFORM, _512 = "uniform:1024", "uniform:512"
_MIXED: dict[str, Any] = {"negatives": ("in-batch", _UNIFORM)}

# Corrections as public code has them, most of them wrong (docs/symptoms.md).
RECIPES: dict[str, dict[str, Any]] = {
    # log q added to the logits where it should be subtracted
    "recipe-added": {"logq": -1.0},
    # (score - log q) / temperature
    "recipe-divided": {"logq": 10.0, "temperature": 0.1},
    # (score - 0.75 log q) / 0.02
    "recipe-divided-power": {"logq": 37.5, "temperature": 0.02},
    # q of clicks to the power 0.75, of draws that go by clicks
    "recipe-power": {"logq": 0.75},
    # in-batch and uniform columns together, without a correction
    "recipe-mixture": _MIXED,
    # the probability of being drawn at all, for negatives alone
    "recipe-inclusion": {
        "logq": 1.0,
        "duplicates": "inclusion",
        "mask_same_item": True,
        "correct_positive": False,
    },
    # the same for a mixture, cosine times 20
    "recipe-tutorial": {
        **_MIXED,
        "logq": 1.0,
        "duplicates": "inclusion",
        "mask_same_item": True,
        "correct_positive": False,
        "temperature": 0.05,
    },
    # negatives alone, with q of draws that are not the row's positive
    "recipe-leave-one-out": {
        "logq": 1.0,
        "correct_positive": False,
        "leave_own_out": True,
        "mask_same_item": True,
    },
    "recipe-no-temperature": {"temperature": 1.0},
    "recipe-dot": {"output": "dot", "temperature": 1.0},
    # binary cross-entropy of a cosine in [-1, 1]
    "recipe-bare-sigmoid": {
        "loss": "sigmoid",
        "negatives": ("uniform-per-row:1",),
        "temperature": 1.0,
    },
    "recipe-uniform": {"negatives": (_UNIFORM,)},
    # trained by cosines, searched by dot products of vectors that nobody normalised
    "recipe-index": {"logq": 1.0, "serve_norm": "dot"},
}
_EXACT: dict[str, dict[str, Any]] = {
    "in-batch+logq": {"logq": 1.0},
    "full-softmax": {"negatives": ("catalogue",)},
}
_MOVING: dict[str, dict[str, Any]] = {
    "learned": {"temperature_kind": "learned"},
    "scheduled": {"temperature_kind": "scheduled,end=0.1", "temperature": 0.3},
    "per-user": {"temperature_kind": "per-user"},
    "by-popularity": {"temperature_kind": "by-popularity"},
    "by-popularity+own": {"temperature_kind": "by-popularity,served=own"},
}
# Matrix factorisation, and the losses of a public benchmark on it, with the settings
# that these share; temperatures are over cosines, except those of psl (half of them).
FACTORS: dict[str, Any] = {
    "user_features": ("id",),
    "item_features": ("id",),
    "encoder": "none",
    "layers": "none",
    "user_hidden": (),
    "item_hidden": (),
    "dropout": 0.0,
    "optimiser": "adam-l2",
    "weight_decay": 0.0,
    "learning_rate": 0.01,
}
_COSINE: dict[str, Any] = {
    **FACTORS,
    "table_scale": 1.0,
    "negatives": ("uniform-outside:1000",),
    "temperature": 0.2,
}
_DOT: dict[str, Any] = {
    **FACTORS,
    "output": "dot",
    "table_scale": 1.0,
    "negatives": ("uniform-outside:1",),
    "temperature": 1.0,
}
_FACTOR_ARMS: dict[str, dict[str, Any]] = {
    "mf-cosine": {**_COSINE, "loss": "decoupled-softmax"},
    "mf-dot": {**_DOT, "loss": "bpr", "table_scale": 0.0, "learning_rate": 1e-3},
    "mf-sl-at-k": {**_COSINE, "loss": "sl-at-k"},
    "mf-adv-info-nce": {**_COSINE, "loss": "adv-info-nce"},
    "mf-llpauc": {
        **_DOT,
        "loss": "llpauc",
        "table_scale": 0.01,
        "negatives": ("uniform-outside:1000",),
    },
    "mf-lambda-rank": {**_DOT, "loss": "lambda-rank"},
    "mf-lambda-loss": {**_DOT, "loss": "lambda-loss"},
    "mf-lambda-loss-at-k": {**_DOT, "loss": "lambda-loss-at-k"},
}
# Against the second recipe, with one part of its towers left out (the grid recipe).
_PARTS: dict[str, dict[str, Any]] = {
    "in-batch+logq-added": {"logq": 1.0, "layers": "added"},
    "in-batch+logq-mlp": {"logq": 1.0, "layers": "mlp"},
    "in-batch+logq-linear": {"logq": 1.0, "user_hidden": (), "item_hidden": ()},
    "in-batch+logq-no-history": {"logq": 1.0, "encoder": "none"},
    "in-batch+logq-no-user-id": {"logq": 1.0, "user_features": ()},
}
_ID_ONLY: dict[str, Any] = {"user_features": (), "item_features": ("id",)}


def _beside(source: str) -> dict[str, Any]:
    """In-batch negatives and those of a source beside them, corrected."""
    return {"negatives": ("in-batch", source), "logq": 1.0}


# The positive at its own weight, its negatives without it: [khrylchenko2025].
_FAITHFUL: dict[str, Any] = {
    "loss": "weighted-softmax",
    "logq": 1.0,
    "correct_positive": False,
    "expected_count": True,
    "mask_same_item": True,  # which leaves N (1 - Q_p) draws, each of Q / (1 - Q_p)
}
_POPULAR, _BY_SIZE = _beside("popularity:1024"), _beside("fifo-cache-by-size:4096")
_FIFO, _VECTORS = _beside("fifo-cache:4096"), _beside("vector-cache:1024")
_FIFO_512 = _beside("fifo-cache:512")

ARMS: dict[str, dict[str, Any]] = {
    # Baselines, with their default options.
    **{name: {"model": name} for name in BASELINES},
    # {uniform, in-batch} by {sigmoid, softmax}, and the corrected pointwise loss.
    "pointwise-sigmoid": {"loss": "sigmoid", "negatives": ("uniform-per-row:8",)},
    "in-batch-sigmoid": {"loss": "sigmoid"},
    "binary-nce": {"loss": "binary-nce", "logq": 1.0, "expected_count": True},
    "uniform-softmax": {"negatives": (_UNIFORM,), "logq": 1.0},
    "uniform-softmax-64": {"negatives": ("uniform:64",), "logq": 1.0},
    # Negatives of one kind alone.
    "popularity-softmax": {"negatives": ("popularity:1024",), "logq": 1.0},
    # The question of the grid ssb: in-batch negatives and their corrections.
    "in-batch": {},
    "in-batch+prior": {"prior": 1.0},
    "in-batch+ips": {"ips": 1.0},
    "in-batch+logq+ips": {"logq": 1.0, "ips": 1.0},
    "in-batch+logq": {"logq": 1.0},
    "mixed": _MIXED,
    "mixed+logq": {**_MIXED, "logq": 1.0},
    # As many extra columns, drawn from the click share: number or distribution?
    "mixed-popularity+logq": _POPULAR,
    # The same expected gradient, which reaches items through the batch's columns alone.
    "mixed-popularity+logq+push": {**_POPULAR, "item_gradient": "balanced"},
    "full-softmax": {"negatives": ("catalogue",)},
    # Losses over the same 512 shared negatives; biases start near -log(items), which
    # suits a sum over them (binary-nce without log q), not the mean of sigmoid.
    "uniform-softmax-512": {"negatives": (_512,), "logq": 1.0},
    "bpr-512": {"loss": "bpr", "negatives": (_512,)},
    "sigmoid-512": {"loss": "binary-nce,bias=-8", "negatives": (_512,)},
    "gbce-512": {"loss": "gbce,bias=-8", "negatives": (_512,)},
    # Optimisers that move the touched rows of the tables.
    "lazy-adam": {"logq": 1.0, "optimiser": "lazy-adam"},
    "rowwise-adagrad": {"logq": 1.0, "optimiser": "rowwise-adagrad"},
    # Masks.
    "in-batch+logq+same-item": {"logq": 1.0, "mask_same_item": True},
    "in-batch+logq+mask": {"logq": 1.0, "mask_user_positives": True},
    "full-softmax+mask": {"negatives": ("catalogue",), "mask_user_positives": True},
    # Two halves of a history, found by each other.
    "full-softmax+time-halves": {
        "negatives": ("catalogue",),
        "positives": "user-user,halves=time",
    },
    # Other sources of negatives, and a selection of the hardest drawn.
    "in-batch-part+logq": {"negatives": ("in-batch-part:63",), "logq": 1.0},
    "extra+logq": _beside("extra:1024"),
    "hardest": {**_MIXED, "hardest": 10},
    "rank-band": {"negatives": ("uniform:1000", "rank-band:10")},
    # Caches of positives and of items; the third stores q, as in [wang2021].
    "fifo-cache+logq": _FIFO,
    "fifo-cache-512+logq": _FIFO_512,
    "vector-cache+logq": _VECTORS,
    "fifo-cache-stored+logq": {
        **_beside("fifo-cache-stored:4096"),
        "frequency": "streaming",
    },
    "fifo-cache+logq-streaming": {**_FIFO, "frequency": "streaming"},
    # A cache of positives corrected by its size in place of the click share.
    "fifo-cache+logq-by-size": _BY_SIZE,
    "fifo-cache+logq-by-size+push": {**_BY_SIZE, "item_gradient": "balanced"},
    # The repulsive gradient that stored vectors lack, restored on the batch's columns;
    # and, as a control, fresh columns whose gradient is stopped.
    "fifo-cache+logq+push": {**_FIFO, "item_gradient": "balanced"},
    "fifo-cache-512+logq+push": {**_FIFO_512, "item_gradient": "balanced"},
    "vector-cache+logq+push": {**_VECTORS, "item_gradient": "balanced"},
    "mixed-popularity+logq-stopped": {**_POPULAR, "item_gradient": "batch"},
    # Corrections.
    "in-batch+logq-streaming": {"logq": 1.0, "frequency": "streaming"},
    "in-batch+logq-periodic": {"logq": 1.0, "frequency": "periodic"},
    "in-batch+logq-periodic+time-order": {
        "logq": 1.0,
        "frequency": "periodic",
        "batch_order": "time",
    },
    "in-batch+logq-distinct": {
        "logq": 1.0,
        "duplicates": "inclusion",
        "mask_same_item": True,
    },
    "weighted-softmax+logq": _FAITHFUL,
    # One loss each. Losses of many negatives are corrected: without correction the
    # comparison would be one of sampling distributions, not of losses.
    "decoupled-softmax+logq": {"loss": "decoupled-softmax", "logq": 1.0},
    "debiased+logq": {"loss": "debiased", "logq": 1.0},
    "hard-negative+logq": {"loss": "hard-negative", "logq": 1.0},
    "bilateral-softmax+logq": {"loss": "bilateral-softmax", "logq": 1.0},
    "bpr": {"loss": "bpr", "negatives": ("uniform-per-row:1",)},
    "bpr-mean": {"loss": "bpr", "negatives": (_UNIFORM,)},
    "hinge": {"loss": "hinge", "negatives": (_UNIFORM,)},
    "psl-tanh": {"loss": "psl-tanh", "negatives": (_UNIFORM,)},
    "psl-atan": {"loss": "psl-atan", "negatives": (_UNIFORM,)},
    "psl-relu": {"loss": "psl-relu", "negatives": (_UNIFORM,)},
    "decoupled-softmax": {"loss": "decoupled-softmax", "negatives": (_UNIFORM,)},
    "bilateral-softmax": {"loss": "bilateral-softmax", "negatives": (_UNIFORM,)},
    "sl-at-k": {"loss": "sl-at-k", "negatives": (_UNIFORM,)},
    "sl-at-k-stopped": {
        "loss": "sl-at-k,weight_gradient=0",
        "negatives": (_UNIFORM,),
    },
    "cosine-contrastive": {"loss": "cosine-contrastive", "negatives": (_UNIFORM,)},
    "gbce": {"loss": "gbce", "negatives": ("uniform-per-row:8",)},
    "siglip": {"loss": "siglip"},
    "align-uniform": {"loss": "align-uniform"},
    **_FACTOR_ARMS,
    # Temperatures that move.
    **{
        f"{name}-{kind}": {**changes, **moving}
        for name, changes in _EXACT.items()
        for kind, moving in _MOVING.items()
    },
    # Without demographics, genres and year.
    "in-batch+logq-id-only": {"logq": 1.0, **_ID_ONLY},
    "mixed+logq-id-only": {**_MIXED, "logq": 1.0, **_ID_ONLY},
    "full-softmax-id-only": {"negatives": ("catalogue",), **_ID_ONLY},
    **TOWER_ARMS,
    **RECIPES,
    **_PARTS,
}
# Arms that also stand beside themselves with negatives which loader workers repeat.
REPEATED = (
    *("bpr", "pointwise-sigmoid", "uniform-softmax-64", "uniform-softmax"),
    "mixed+logq",
)
ARMS |= {f"{one}+workers": {**ARMS[one], "loader_workers": 16} for one in REPEATED}


def arm(name: str, base: Config | None = None) -> Config:
    """The config of a named arm over a base (default: the reference recipe).

    Raises:
      InputError: no arm has that name.

    >>> arm("in-batch+logq").logq
    1.0
    """
    return dataclasses.replace(base or Config(), **choose(name, ARMS, "arm"))
