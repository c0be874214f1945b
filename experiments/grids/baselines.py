"""Does the best two-tower model beat what needs no towers, on recall and on NDCG?

Each baseline has the options that suit it on validation (docs/baselines.md), and each
arm its temperature: 0.2, and 0.15 where uniform columns are mixed in. Baselines that
draw random numbers are run once per seed; the others once, paired with every seed.
Differences are from ``larger-towers``, which were chosen on validation as the
baselines' options were: ``towers-choice`` shows them there, with each of their choices
undone in turn.

    python -m experiments run baselines            about 8 minutes on 2 cores, 5 seeds
    python -m experiments run baselines --quick    about 2 minutes
    python -m experiments run towers-choice        about 4 minutes on 2 cores, 1 seed
    python -m experiments run towers-choice --quick    about 2 minutes

MovieLens 1M takes longer: --dataset ml-1m --data-dir DIR; its batches are of 1,024 and
its epochs 10. The committed records have 3 seeds there, of the baselines, in-batch+logq
and larger-towers (12 minutes per seed on one core): R@20 0.203 for larger-towers, 0.179
for in-batch+logq, 0.158 for ease, the differences significant at 95 %.
Expect on MovieLens 100K: R@20 0.273 and NDCG@20 0.173 for larger-towers, significantly
above all others; 0.25 for the reference towers, 0.23 to 0.24 for slim, ials and ease,
0.21 to 0.23 for the others, 0.11 to 0.12 for the popularities.
"""

from experiments.grid import SHORTER, Contrast, Elsewhere, Grid
from experiments.recipe import FIRST
from research.baselines import BASELINES

BASELINE_GRID = Grid(
    name="baselines",
    question="Does the best two-tower model beat every baseline?",
    topic="data",
    arms=(
        *(name for name in BASELINES if name != "random"),  # the records are without
        "in-batch+logq",
        "mixed+logq",
        "full-softmax",
        "full-softmax+mask",
        "larger-towers",
    ),
    reference="larger-towers",
    minutes="8",
    contrasts=(
        *(
            Contrast(arm, other, metric)
            for arm, others in (
                ("larger-towers", ("slim", "ials", "ease")),
                ("full-softmax+mask", ("slim", "ials")),
                ("in-batch+logq", ("ease", "slim")),
            )
            for other in others
            for metric in ("recall", "ndcg")
        ),
        Contrast("larger-towers", "in-batch+logq"),
        *(Contrast("full-softmax", other) for other in ("item2vec", "fm", "ease")),
        Contrast("full-softmax", "ease", "recall", 100),
        Contrast("full-softmax+mask", "full-softmax"),
        Contrast("full-softmax+mask", "full-softmax", "recall_item"),
    ),
    arm_sweeps={"mixed+logq": ({"temperature": (0.15,)},)},
    changes=FIRST | {"temperature": 0.2},
    elsewhere=Elsewhere(changes=SHORTER),
)
