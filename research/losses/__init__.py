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
    PairVectors,
)
from research.losses.pairwise import bpr, hinge
from research.losses.pointwise import binary_nce, cosine_contrastive, gbce, sigmoid
from research.losses.softmax import (
    bilateral_softmax,
    debiased,
    decoupled_softmax,
    hard_negative,
    sampled_softmax,
    weighted_softmax,
)
from research.losses.square import align_uniform, siglip
from research.types import InputError, choose

__all__ = [
    "LOSSES",
    "MASK",
    "ORDER",
    "SHIFT",
    "UNIFORM_Q",
    "Loss",
    "PairVectors",
    "check_loss",
    "hyper_values",
]

# Only differences of logits count, or each logit by itself.
_LISTWISE = frozenset({SHIFT, ORDER, MASK, UNIFORM_Q})
_POINTWISE = frozenset({ORDER, MASK})
_SHARE = (0.1, "share of the negatives that are positives in truth")

LOSSES: dict[str, Loss] = {
    "sampled-softmax": Loss(sampled_softmax, laws=_LISTWISE, one_pass=True),
    "decoupled-softmax": Loss(decoupled_softmax, laws=_LISTWISE),
    "debiased": Loss(debiased, {"positive_share": _SHARE}, laws=_LISTWISE),
    "hard-negative": Loss(
        hard_negative,
        {"positive_share": _SHARE, "hardness": (1.0, "how far to the hardest: 0 none")},
        laws=_LISTWISE,
    ),
    "bilateral-softmax": Loss(
        bilateral_softmax,
        {"power": (1.06, "power of the negatives' sum: 1 is the decoupled softmax")},
        laws=_POINTWISE,
    ),
    "bpr": Loss(bpr, laws=_LISTWISE),
    "hinge": Loss(hinge, {"margin": (1.0, "gap asked for")}, laws=_LISTWISE),
    "cosine-contrastive": Loss(
        cosine_contrastive,
        {
            "threshold": (0.9, "logit below which a negative doesn't count"),
            "negative_weight": (10.0, "weight of the negatives' mean"),
        },
        laws=_POINTWISE,
    ),
    "weighted-softmax": Loss(weighted_softmax, laws=_LISTWISE),
    "sigmoid": Loss(sigmoid, trainable={"bias": 0.0}, laws=_POINTWISE),
    "binary-nce": Loss(binary_nce, trainable={"bias": 0.0}, laws=_POINTWISE),
    "gbce": Loss(
        gbce,
        {"calibration": (0.75, "0 is plain cross-entropy, 1 takes out all of it")},
        trainable={"bias": 0.0},
        laws=_POINTWISE,
    ),
    "siglip": Loss(
        siglip,
        trainable={"log_scale": 0.0, "bias": -10.0},
        needs=frozenset({NEGATIVES, SQUARE}),
        laws=_POINTWISE,
    ),
    # It sees vectors alone, so nothing done to logits changes it.
    "align-uniform": Loss(
        align_uniform,
        {"uniformity": (1.0, "weight of the uniformity of both sides")},
        needs=frozenset({VECTORS}),
        laws=_LISTWISE,
    ),
}


_ALONE = ("in-batch",)


def hyper_values(config: Config) -> dict[str, float]:
    """The loss's own values: its defaults, with what config.hyper sets as NAME=VALUE.

    Raises:
      InputError: no such loss or name, a value that is no finite number, a name twice.

    >>> hyper_values(Config(loss="hinge", hyper=("margin=0.5",)))
    {'margin': 0.5}
    """
    known = choose(config.loss, LOSSES, "loss").hyper
    defaults = {name: default for name, (default, _) in known.items()}
    return named_values(config.hyper, defaults, "hyper", config.loss)


def check_loss(config: Config) -> None:
    """Compares what the loss needs with what the run offers.

    Raises:
      InputError: see hyper_values; or negatives that the loss lacks or can't use.
    """
    hyper_values(config)
    needs, name = LOSSES[config.loss].needs, config.loss
    sources = ", ".join(config.negatives)
    if NEGATIVES in needs:
        if not config.negatives:
            raise InputError(f"{name} needs a negative: name a source of them")
        if config.negatives == _ALONE and config.batch == 1:
            raise InputError(
                f"{name} needs a negative: in-batch with batch 1 draws none"
            )
    if SQUARE in needs:
        if config.negatives != _ALONE:
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
    if NEGATIVES not in needs and config.negatives != _ALONE:
        raise InputError(
            f"{name} uses no negatives: take in-batch, which costs nothing, "
            f"not {sources or 'none'}"
        )
    if VECTORS in needs and NEGATIVES not in needs:
        if config.logq or config.hardest or config.temperature_kind != "fixed":
            raise InputError(
                f"{name} sees vectors, not logits: logq, hardest and a temperature "
                f"that moves do nothing to it"
            )
        if config.batch == 1:
            raise InputError(f"{name} compares the rows of a batch: batch 1 has no two")
