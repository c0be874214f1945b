"""What the report stage is given: one row a run, finished or failed."""

from typing import NamedTuple

from research.types import Record

__all__ = ["Row"]


class Row(NamedTuple):
    """One run of a grid.

    ``arm`` never holds a swept value: those are in ``swept``, by field name, with the
    same keys over one table (an arm that has no such field leaves it out). A failed
    run has no record, and ``reason`` says why ("loss not finite at step 412").
    Deterministic arms come with the same record at each seed. ``history`` is the
    training curve by column name, one value an evaluation.
    """

    arm: str
    swept: dict[str, float]
    seed: int
    record: Record | None
    reason: str = ""
    history: dict[str, list[float]] | None = None
