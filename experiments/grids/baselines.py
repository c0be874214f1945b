"""Does the best two-tower model beat what needs no towers, on recall and on NDCG?

Each baseline has the options that suit it on validation (docs/baselines.md), and each
arm its temperature: 0.2, and 0.15 where uniform columns are mixed in. What draws random
numbers is run once a seed; the others are one run, paired with every seed. Differences
are from ``full-softmax``.

    python -m experiments run baselines            about 6 minutes on 2 cores, 5 seeds
    python -m experiments run baselines --quick    about 2 minutes

MovieLens 1M takes longer: --dataset ml-1m --data-dir DIR. No record is committed yet.
Expect on MovieLens 100K: R@20 about 0.25 for full-softmax and in-batch+logq, about 0.24
for slim, ials and ease, 0.20 to 0.23 for the others, and 0.11 for the popularities.
"""

from experiments.grids.grid import Grid
from experiments.tower_arms import CHOICE
from research.baselines import BASELINES

BASELINE_GRID = Grid(
    name="baselines",
    question="Does the best two-tower model beat every baseline?",
    arms=(
        *BASELINES,
        "in-batch+logq",
        "mixed+logq",
        "full-softmax",
        "full-softmax+mask",
        "chosen-towers",
    ),
    reference="chosen-towers",
    seeds=5,
    minutes="6",
    swept={},
    apart={"mixed+logq": ({"temperature": (0.15,)},)},
    changes={"temperature": 0.2},
    on={"ml-1m": {"batch": 1024, "epochs": 10}},
)

TOWERS_CHOICE = Grid(
    name="towers-choice",
    question="Which towers are best on validation?",
    arms=("in-batch+logq+mask", "full-softmax+mask", *CHOICE),
    reference="chosen-towers",
    seeds=3,
    minutes="9",
    swept={},
    changes={"temperature": 0.2, "fit_on": "train"},
)
