"""The protocols of published tables: how each splits, judges and chooses an epoch."""

from collections.abc import Mapping
from typing import Any, NamedTuple

_TEN = tuple(f"{m}@10" for m in ("recall", "ndcg", "mrr", "hit", "precision"))
_TWENTY = ("recall@20", *(f"ndcg@{k}" for k in (5, 10, 20, 50, 75, 100)))
NUMBERS = tuple(dict.fromkeys(_TEN + _TWENTY))


class Protocol(NamedTuple):
    """How a table splits its data, judges lists and chooses an epoch.

    Attributes:
      fields: of the config of the test phase.
      numbers: that are measured.
      by: the number by which the epoch is chosen.
      every: epochs between two looks at it.
      patience: looks without a gain after which training ends; 0 for never.
      on_test: whether the epoch is chosen on the test part, for lack of another.
      everyone: whether users without a test item count, as 0.
      validation: the file of the train pairs that validate, where there is one.
      least: users with fewer train pairs validate nothing: all of theirs are fitted.
    """

    fields: Mapping[str, Any]
    numbers: tuple[str, ...]
    by: str
    every: int
    patience: int = 0
    on_test: bool = False
    everyone: bool = False
    validation: str = ""
    least: int = 0


_RECBOLE = {"split": "random", "split_rule": "recbole", "fit_on": "train-only"}
_GIVEN = {"split": "given", "fit_on": "train-only"}
PROTOCOLS = {
    # RecBole: its own random split; 10 epochs without a gain end the training.
    "recbole": Protocol(
        {**_RECBOLE, "left_out": "train+validation"}, _TEN, "mrr@10", 1, 10
    ),
    "recbole, validation ranked": Protocol(_RECBOLE, _TEN, "mrr@10", 1, 10),
    "recbole, no early end": Protocol(
        {**_RECBOLE, "left_out": "train+validation"}, _TEN, "mrr@10", 1
    ),
    # IR-Benchmark: the validation part that its code draws stays in the test lists,
    # where it can only miss. Its training always takes 200 epochs; here it ends after
    # 50 without a gain.
    "validated": Protocol(
        _GIVEN, _TWENTY, "ndcg@20", 5, 10, validation="validation-seed2024.csv"
    ),
    "validated, no early end": Protocol(
        _GIVEN, _TWENTY, "ndcg@20", 5, validation="validation-seed2024.csv"
    ),
    # A tenth of a user's train pairs, rounded down, where that code takes at least one.
    "validated, rounded down": Protocol(
        _GIVEN,
        _TWENTY,
        "ndcg@20",
        5,
        10,
        validation="validation-seed2024.csv",
        least=10,
    ),
    # The same with another validation part for each seed.
    "validated anew": Protocol(
        {**_GIVEN, "validation_share": 0.1}, _TWENTY, "ndcg@20", 5, 10
    ),
    # Its shifted sets: no validation part, so that the epoch is chosen on test.
    "whole": Protocol(_GIVEN, _TWENTY, "ndcg@20", 5, on_test=True, everyone=True),
    # Cornac: every rating trains; those of 4 or more judge, and are left out. No epoch
    # is chosen: the only look is at the last.
    "cornac": Protocol(
        {**_GIVEN, "threshold": 0.5, "judged_from": 4.0},
        ("recall@10", "ndcg@10", "precision@10"),
        "ndcg@10",
        200,
        on_test=True,
    ),
}
