"""Are in-batch negatives better because an item is pushed away when it is pulled?

In-batch negatives are the batch's own positives: in a step an item is pushed away from
other users as often as it is pulled to its own. Draws from the same distribution push
an item in other steps than those in which it is pulled, which adds noise to its vector.
Two comparisons isolate this. ``popularity-softmax`` has as many negatives from the
click share as the batch gives, but fresh ones. In ``+push`` the scores, the loss and
the gradients of users are those of ``mixed-popularity+logq``, and in expectation the
gradients of items too, but these reach items through the batch's columns alone. All
arms have the temperature, learning rate and epochs that validation chose for the full
softmax. On Movies and Gowalla nothing was tuned; they have those of Electronics.

    python -m experiments run push          about 10 minutes on MovieLens 100K
    python -m experiments run push --quick  about 1 minute

With --dataset DIR/electronic it takes about 20 minutes of one core, with DIR/movie and
DIR/gowalla about 1 hour; DIR is as in docs/outside.md.

Expect in recall@100 on Electronics, Movies and Gowalla: in-batch 0.007 to 0.018 above
as many fresh draws, the push through the batch 0.004 to 0.009 above that through all
columns; on MovieLens 100K less in proportion.
"""

import functools

from experiments.grid import (
    AS_FULL,
    CONTRASTS_FOREST,
    Elsewhere,
    Grid,
    OfContrasts,
    Prediction,
)
from experiments.recipe import FIRST
from research.contrast import BETTER, HIGHER, Contrast

_BATCH, _FULL, _FRESH = "in-batch+logq", "full-softmax", "popularity-softmax"
_MIXED = "mixed-popularity+logq"
_PUSHED = f"{_MIXED}+push"
_SAMPLED = (_BATCH, _FRESH, _MIXED, _PUSHED)
_AS_MANY = {"draws": 511}
_DRAWS = (1024, 4096)

PUSH = Grid(
    name="push",
    question="Are in-batch negatives better because items are pushed and pulled in the "
    "same step?",
    topic="negatives",
    arms=(*_SAMPLED, _FULL),
    reference=_FULL,
    seeds=6,
    changes=FIRST,
    minutes="10",
    elsewhere=Elsewhere(
        changes=AS_FULL | dict.fromkeys(("movie", "gowalla"), AS_FULL["electronic"]),
        minutes={"electronic": "20", "movie": "60", "gowalla": "60"},
    ),
    keep_places=100,
    arm_sweeps={
        _FRESH: ({"draws": (511,)},),
        _MIXED: ({"draws": _DRAWS},),
        _PUSHED: ({"draws": _DRAWS},),
    },
    contrasts=(
        *(
            contrast
            for k in (20, 100)
            for contrast in (
                Contrast(
                    *(_BATCH, _FRESH, "recall", k, {}, _AS_MANY),
                    expected=BETTER,
                ),
                *(
                    Contrast(
                        *(_PUSHED, _MIXED, "recall", k),
                        at={"draws": draws},
                        against_at={"draws": draws},
                        expected=BETTER,
                    )
                    for draws in _DRAWS
                ),
            )
        ),
        Contrast(*(_BATCH, _FRESH, "coverage", 100, {}, _AS_MANY), expected=HIGHER),
        *(
            Contrast(
                *(_PUSHED, _BATCH, "recall", 100),
                at={"draws": draws},
                against_at={},
            )
            for draws in _DRAWS
        ),
        *(
            Contrast(_PUSHED, _FULL, k=100, at={"draws": draws}, against_at={})
            for draws in _DRAWS
        ),
    ),
    figures={
        "arms": OfContrasts(functools.partial(CONTRASTS_FOREST, without=("coverage",)))
    },
    prediction=Prediction(
        text="On Amazon Electronics, Amazon Movies and Gowalla, in recall@20 and "
        "recall@100, in-batch+logq is better than popularity-softmax with as "
        "many draws, and mixed-popularity+logq+push better than "
        "mixed-popularity+logq, with 1,024 and with 4,096 extra columns. In "
        "coverage at 100 in-batch+logq is higher than popularity-softmax. (Seen "
        "before, on Electronics alone: in-batch+logq above popularity-softmax "
        "with 511 draws on validation, and with 1,024 on test; a FIFO cache with "
        "the push above in-batch+logq.)",
        on=("electronic", "movie", "gowalla"),
        split="given",
    ),
)
