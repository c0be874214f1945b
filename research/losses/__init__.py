"""The registry of losses: adding one is a function and one entry here."""

from research.config import Config, named_values
from research.losses.entry import (
    MASK,
    NEGATIVES,
    ORDER,
    SHIFT,
    SQUARE,
    UNIFORM_Q,
    VECTORS,
    Loss,
)
from research.negatives import is_batch_alone
from research.registry import Registry, deferred
from research.types import InputError

__all__ = [
    "LOSSES",
    "MASK",
    "ORDER",
    "SHIFT",
    "UNIFORM_Q",
    "Loss",
    "check_loss",
    "hyper_values",
]

# Only differences of logits count, or each logit by itself.
_LISTWISE = frozenset({SHIFT, ORDER, MASK, UNIFORM_Q})
_POINTWISE = frozenset({ORDER, MASK})
_SHARE = (0.1, "share of the negatives that are positives in truth")

LOSSES: Registry[Loss] = Registry(
    "loss",
    {
        "sampled-softmax": Loss(
            deferred("research.losses.softmax:sampled_softmax"),
            laws=_LISTWISE,
            one_pass=True,
        ),
        "decoupled-softmax": Loss(
            deferred("research.losses.softmax:decoupled_softmax"), laws=_LISTWISE
        ),
        "debiased": Loss(
            deferred("research.losses.softmax:debiased"),
            {"positive_share": _SHARE},
            laws=_LISTWISE,
        ),
        "hard-negative": Loss(
            deferred("research.losses.softmax:hard_negative"),
            {
                "positive_share": _SHARE,
                "hardness": (1.0, "weight of hard negatives: 0 weighs all alike"),
            },
            laws=_LISTWISE,
        ),
        "bilateral-softmax": Loss(
            deferred("research.losses.softmax:bilateral_softmax"),
            {"power": (1.06, "power of the negatives' sum: 1 is decoupled-softmax")},
            laws=_POINTWISE,
        ),
        "bpr": Loss(deferred("research.losses.pairwise:bpr"), laws=_LISTWISE),
        "hinge": Loss(
            deferred("research.losses.pairwise:hinge"),
            {"margin": (1.0, "least gap between positive and negative")},
            laws=_LISTWISE,
        ),
        "psl-tanh": Loss(deferred("research.losses.pairwise:psl_tanh"), laws=_LISTWISE),
        "psl-atan": Loss(deferred("research.losses.pairwise:psl_atan"), laws=_LISTWISE),
        "psl-relu": Loss(deferred("research.losses.pairwise:psl_relu"), laws=_LISTWISE),
        "cosine-contrastive": Loss(
            deferred("research.losses.pointwise:cosine_contrastive"),
            {
                "threshold": (0.9, "logit below which a negative doesn't count"),
                "negative_weight": (10.0, "weight of the negatives' mean"),
            },
            laws=_POINTWISE,
        ),
        "weighted-softmax": Loss(
            deferred("research.losses.softmax:weighted_softmax"), laws=_LISTWISE
        ),
        "sigmoid": Loss(
            deferred("research.losses.pointwise:sigmoid"),
            trainable={"bias": 0.0},
            laws=_POINTWISE,
        ),
        "binary-nce": Loss(
            deferred("research.losses.pointwise:binary_nce"),
            trainable={"bias": 0.0},
            laws=_POINTWISE,
        ),
        "gbce": Loss(
            deferred("research.losses.pointwise:gbce"),
            {"calibration": (0.75, "0 is plain cross-entropy, 1 is fully calibrated")},
            trainable={"bias": 0.0},
            laws=_POINTWISE,
        ),
        "siglip": Loss(
            deferred("research.losses.square:siglip"),
            trainable={"log_scale": 0.0, "bias": -10.0},
            needs=frozenset({NEGATIVES, SQUARE}),
            laws=_POINTWISE,
        ),
        # It sees vectors alone, so nothing done to logits changes it.
        "align-uniform": Loss(
            deferred("research.losses.square:align_uniform"),
            {"uniformity": (1.0, "weight of the uniformity of both sides")},
            needs=frozenset({VECTORS}),
            laws=_LISTWISE,
        ),
    },
)


def hyper_values(config: Config) -> dict[str, float]:
    """The loss's own values: its defaults, with what config.hyper sets as NAME=VALUE.

    Raises:
      InputError: no such loss or name, a value that is no finite number, a name twice.

    >>> hyper_values(Config(loss="hinge", hyper=("margin=0.5",)))
    {'margin': 0.5}
    """
    entry = LOSSES.choose(config.loss)
    defaults = {name: default for name, (default, _) in entry.hyper.items()}
    return named_values(config.hyper, defaults, "hyper", config.loss)


def check_loss(config: Config) -> None:
    """Compares what the loss needs with what the run offers.

    Raises:
      InputError: see hyper_values; or negatives that the loss lacks or can't use.
    """
    hyper_values(config)
    needs, name = LOSSES[config.loss].needs, config.loss
    sources, batch_alone = ", ".join(config.negatives), is_batch_alone(config.negatives)
    if NEGATIVES in needs:
        if not config.negatives:
            raise InputError(f"{name} needs a negative: name a source of them")
        if batch_alone and config.batch == 1:
            raise InputError(
                f"{name} needs a negative: in-batch with batch 1 draws none"
            )
    if SQUARE in needs:
        if not batch_alone:
            raise InputError(
                f"{name} judges all pairs of a batch: it takes in-batch negatives "
                f"alone, not {sources}"
            )
        if config.hardest:
            raise InputError(f"{name} judges all pairs of a batch: hardest must be 0")
        if config.logq:
            raise InputError(
                f"logq {config.logq:g} with {name}: its learned scale would multiply "
                f"log q too; use logq 0"
            )
    if NEGATIVES not in needs:
        _check_unused(config, batch_alone, sources)


def _check_unused(config: Config, batch_alone: bool, sources: str) -> None:
    """Refuses what a loss that sees no negatives would silently ignore."""
    name = config.loss
    if not batch_alone:
        raise InputError(
            f"{name} uses no negatives: take in-batch, which costs nothing, "
            f"not {sources or 'none'}"
        )
    if config.logq or config.hardest or config.temperature_kind != "fixed":
        raise InputError(
            f"{name} sees vectors, not logits: logq, hardest and a temperature "
            f"that moves do nothing to it"
        )
    if config.batch == 1:
        raise InputError(f"{name} compares the rows of a batch: batch 1 has no two")
