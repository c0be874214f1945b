"""Does the best two-tower model beat what needs no towers, on recall and on NDCG?

Each baseline has the options that suit it on validation (docs/baselines.md), and each
arm its temperature: 0.2, and 0.15 where uniform columns are mixed in. What draws random
numbers is run once a seed; the others are one run, paired with every seed. Differences
are from ``full-softmax``.

    python -m experiments run baselines            about 15 minutes on 2 cores, 5 seeds
    python -m experiments run baselines --quick    about 2 minutes

MovieLens 1M takes about an hour: --dataset ml-1m --data-dir DIR. No record is committed
yet.
Expect on MovieLens 100K: slim, ease and ials close to full-softmax, at R@20 about 0.24,
and every one of them far above the two popularities.
"""

from experiments.grids.grid import Grid
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
    ),
    reference="full-softmax",
    seeds=5,
    minutes="15",
    swept={},
    apart={"mixed+logq": ({"temperature": (0.15,)},)},
    changes={"temperature": 0.2},
)
