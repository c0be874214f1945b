"""What a loss is told and what it can't use, settled before any training."""

from research.choose import choose
from research.config import Config
from research.losses import LOSSES
from research.losses.entry import NEGATIVES, SQUARE, VECTORS
from research.options import named_values
from research.types import InputError

__all__ = ["check_loss", "hyper_values"]

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
