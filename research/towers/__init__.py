"""The registry of history encoders; the towers stay apart until one dot product."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from research.config import Config
from research.features.search import NO_SEARCH
from research.fields import FeatureFields
from research.registry import Registry, deferred
from research.types import InputError

__all__ = [
    "ENCODERS",
    "Encoder",
    "check_encoder",
    "check_layers",
    "takes_words",
    "uses_history",
]


class Encoder(NamedTuple):
    """An entry of the registry: how a user's last positives become one vector.

    Attributes:
      module: a Flax module of ``UserInput -> [b, e]`` (research/towers/towers.py);
        None for a tower without a history.
      history: "none" (reads no history), "optional" or "required".
      profile: whether its attention depends on the user's features, and so needs one.
      words: whether it reads the words of a search.
      ordered: whether it depends on the order of the history.
      help: one line, where there is no module to say it.
    """

    module: Callable[..., Any] | None
    history: Literal["none", "optional", "required"] = "required"
    profile: bool = False
    words: bool = False
    ordered: bool = False
    help: str = ""


ENCODERS: Registry[Encoder] = Registry(
    "history encoder",
    {
        "none": Encoder(
            None, history="none", help="The user's own features alone, no history."
        ),
        "mean": Encoder(deferred("research.towers.towers:Mean"), history="optional"),
        "profile": Encoder(deferred("research.towers.towers:Profile"), profile=True),
        "last-click": Encoder(
            deferred("research.towers.towers:LastClick"), ordered=True
        ),
        "learned": Encoder(deferred("research.towers.towers:Learned"), ordered=True),
        "self-attention": Encoder(
            deferred("research.towers.towers:SelfAttention"), ordered=True
        ),
        "query": Encoder(deferred("research.towers.towers:Query"), words=True),
    },
)

_REFUSED = {
    "target-attention": (
        "attention by the candidate joins the towers: a user's vector would differ "
        "for every item, and no index of items could serve it; last-click, profile and "
        "query attend from the user's side"
    )
}


def uses_history(config: FeatureFields) -> bool:
    """Whether the user tower reads a history at all."""
    return ENCODERS.choose(config.encoder).history != "none" and config.history > 0


def takes_words(config: FeatureFields) -> bool:
    """Whether the user tower reads the words of a search."""
    return ENCODERS.choose(config.encoder).words


def check_encoder(config: FeatureFields) -> None:
    """Compares the encoder with the other fields of the user tower's input.

    Raises:
      InputError: an unknown encoder, one that would join the towers, one without the
        history or the words that it needs, or words that no encoder reads.
    """
    name = config.encoder
    if name in _REFUSED:
        raise InputError(f"encoder {name}: {_REFUSED[name]}")
    encoder = ENCODERS.choose(name)
    if encoder.history == "required" and config.history == 0:
        raise InputError(f"encoder {name} needs a history: history is 0")
    if config.search != NO_SEARCH and not encoder.words:
        taking = " ".join(n for n, entry in ENCODERS.items() if entry.words)
        raise InputError(
            f"search {config.search} with encoder {name}: only encoder {taking} takes "
            f"words"
        )
    if encoder.words and config.search == NO_SEARCH:
        raise InputError(
            f"encoder {name} needs search words: --search simulated, or a file"
        )


def check_layers(config: Config) -> None:
    """Refuses towers without layers whose input is more than their id's own row.

    Raises:
      InputError: the first field that such towers can't use.
    """
    layers = f"layers {config.layers}"
    if config.layers in ("mlp", "added", "residual"):
        return
    if uses_history(config):
        raise InputError(f"{layers} with encoder {config.encoder}: use encoder none")
    for side in ("user", "item"):
        if getattr(config, f"{side}_features") != ("id",):
            raise InputError(f"{layers}: {side}_features must be id, and nothing else")
        if getattr(config, f"{side}_hidden"):
            raise InputError(f"{layers}: {side}_hidden must be empty")
