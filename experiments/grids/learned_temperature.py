"""Does a learned or scheduled temperature beat a fixed one?

Fixed at two values; learned from two starts, where the question is whether both end at
the same place and whether that place is good for ranking or only for the loss; falling
from 0.3 to 0.1 over the run; one per user, by how well the user is learned (Adap-tau);
one per item, by how popular it is. Lists then rank by score over the common
temperature, as is usual, or (``+own``) over each item's own, as in training. Each with
in-batch negatives corrected by log q, and with the full softmax. The path is the column
``temperature`` of each history.csv.

    python -m experiments run learned-temperature          about 18 minutes on 2 cores
    python -m experiments run learned-temperature --quick  about 1 minute

Expect on MovieLens 100K: R@20 from 0.225 to 0.255; a learned temperature depends on its
start (20 epochs from 0.1 end at 0.05, from 1 at 0.2) and ranks below 0.15 kept fixed.
With in-batch negatives so do a falling one and one per user; with the full softmax that
is not significant, nor is any difference by popularity. By popularity and served over
the common temperature lists are more popular, which ``+own`` takes back.
"""

from experiments.grid import CONTRASTS_FIGURE, Contrast, Grid, Sweep

_KINDS: dict[str, tuple[float, ...]] = {
    "": (0.1, 0.15),
    "-learned": (0.1, 1.0),
    "-scheduled": (0.3,),
    "-per-user": (0.1, 0.15),
    "-by-popularity": (0.1, 0.15),
    "-by-popularity+own": (0.1, 0.15),
}
_SWEEPS: dict[str, tuple[Sweep, ...]] = {
    f"{base}{kind}": ({"temperature": values},)
    for base in ("in-batch+logq", "full-softmax")
    for kind, values in _KINDS.items()
}

_MOVING = (
    *(("-learned", 0.1), ("-learned", 1.0), ("-scheduled", 0.3)),
    *(("-per-user", 0.15), ("-by-popularity", 0.15)),
)

LEARNED_TEMPERATURE = Grid(
    name="learned-temperature",
    question="Does a learned or scheduled temperature beat a fixed one?",
    topic="temperature",
    arms=tuple(_SWEEPS),
    reference="in-batch+logq",
    minutes="18",
    contrasts=tuple(
        Contrast(
            *(f"{base}{kind}", base, "recall", 20),
            *({"temperature": value}, {"temperature": 0.15}),
        )
        for base in ("in-batch+logq", "full-softmax")
        for kind, value in _MOVING
    ),
    arm_sweeps=_SWEEPS,
    figures={},
    contrast_figures=CONTRASTS_FIGURE,
)
