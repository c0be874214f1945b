"""What needs all of a step's logits at once, and can't have them block by block."""

from research.config import Config

__all__ = ["held_whole"]


def held_whole(config: Config) -> str | None:
    """The switch that needs a [b, c] array of logits, as one would set it, or None.

    >>> held_whole(Config(hardest=5))
    'hardest 5'
    """
    if config.hardest:
        return f"hardest {config.hardest}"
    if config.duplicates == "inclusion":
        return "duplicates inclusion"
    if config.item_push != "drawn":
        return f"item_push {config.item_push}"
    if config.positives != "user-item":
        return f"positives {config.positives}"  # the query's own columns are left out
    return None
