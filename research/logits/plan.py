"""How a step's logits are made: all at once, or block by block."""

from dataclasses import dataclass
from typing import NamedTuple

from research.config import Config
from research.negatives import held_whole

__all__ = ["LIMITS", "WHOLE", "Limits", "Plan", "choose_plan"]


@dataclass(frozen=True)
class Limits:
    """Sizes from which logits come in blocks, and sizes of the blocks."""

    # Logits of a step (rows by columns) from which they come in blocks. Where the loss
    # needs one pass over them (Loss.one_pass), blocks are faster from early on.
    one_pass: int = 1 << 20
    several_passes: int = 1 << 23
    encoded: int = 1 << 16  # columns of a source above which the tower runs in a block
    column_block: int = 1 << 22  # logits of a block of columns
    fewest_columns: int = 128  # of such a block
    # Logits of a block of rows, 8 MiB: products of few rows are slow, and so is what is
    # larger than the caches. Of 2^18 to 2^22 the fastest at 1,024 to 8,192 rows.
    row_block: int = 1 << 21


LIMITS = Limits()


class Plan(NamedTuple):
    """How a step's logits are made."""

    columns: int = 0  # of a block; 0: one block of all
    row_block: int = LIMITS.row_block  # logits at once where one pass is all it takes
    inside: tuple[bool, ...] = ()  # of each source: whether a block encodes its columns

    @property
    def whole(self) -> bool:
        """Whether all logits are held at once, [b, c]."""
        return self.columns == 0


WHOLE = Plan()


def choose_plan(
    config: Config,
    rows: int,
    columns: int,
    one_pass: bool,
    fresh: tuple[int, ...] = (),
    limits: Limits = LIMITS,
) -> Plan:
    """The plan of a step.

    Args:
      config: its switches may need the logits whole.
      rows: of the batch.
      columns: of all sources together.
      one_pass: whether one pass over the logits is all that the loss needs.
      fresh: for each source the number of columns, shared by the rows, that the item
        tower encodes in the step; 0 where it encodes none.
      limits: sizes that decide.

    >>> choose_plan(Config(), 4096, 4096, one_pass=True).columns
    1024
    >>> choose_plan(Config(hardest=5), 4096, 4096, one_pass=True) == WHOLE
    True
    """
    enough = limits.one_pass if one_pass else limits.several_passes
    if held_whole(config) is not None or rows * columns < enough:
        return Plan(0, limits.row_block, (False,) * len(fresh))
    # Encoded inside, a block's logits are made twice: one pass is no reason for it.
    inside = tuple(
        rows * n >= limits.several_passes and n > limits.encoded for n in fresh
    )
    block = max(limits.column_block // rows, limits.fewest_columns)
    return Plan(block, limits.row_block, inside)
