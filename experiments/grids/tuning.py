"""Which temperature and learning rate suit each arm, judged on validation?

Every arm gets the same trials, on train judged by validation; the choices, by NDCG@20
and by item-averaged recall@20, are committed (experiments/tuned.py) and used by the
grids ``fair``, ``losses``, ``cache-tuned``, ``history``, ``features`` and ``depth``,
those on the split in time by ``future-tuned``, those on Amazon Electronics by
``other-data``.
``tuning-variants`` has the same trials for other batches, numbers of negatives and
corrections, which the grids ``negatives`` and ``correction`` use. ``tuning-prior``
tries each of its models with several priors, for ``fair-prior``.

    python -m experiments run tuning               about 105 minutes on 2 cores, 1 seed
    python -m experiments run tuning --quick       about 3 minutes
    python -m experiments run tuning-variants      about 45 minutes on 2 cores, 1 seed
    python -m experiments run tuning-variants --quick    about 2 minutes
    python -m experiments run tuning-prior         about 10 minutes on 2 cores, 1 seed
    python -m experiments run tuning-prior --quick    about 1 minute
    python -m experiments.tuned out                writes what it chose

The other split: run tuning --split time --arms, with those of ``make results``, then
python -m experiments.tuned out ml-100k time.
Expect temperatures of 0.15 to 0.3 for the corrected softmax arms.
On MovieLens 1M the trials are six, since a run takes two minutes. The number of epochs
is tuned on the split in time, in twelve trials, and on Electronics, in 25.
``tuning-prior`` has eight priors for each of 14 models on MovieLens 100K, of six on 1M
and of 20 on Electronics, and tunes the number of epochs on Electronics alone.
"""

import experiments.grids.depth as depth
import experiments.grids.features as features
import experiments.grids.history as history
import experiments.grids.losses as losses
from experiments.grid import SHORTER, Elsewhere, Grid, Sweep, Tuning
from research.evaluate.metrics import CUTOFF

# The trained arms of the grid fair: each is tuned by itself.
TRAINED = (
    "pointwise-sigmoid",
    "in-batch-sigmoid",
    "binary-nce",
    "in-batch",
    "in-batch+logq",
    "in-batch+logq-streaming",
    "in-batch+logq+same-item",
    "in-batch+logq+mask",
    "mixed",
    "mixed+logq",
    "mixed-popularity+logq",
    "uniform-softmax",
    "full-softmax",
    "full-softmax+mask",
)

# Likewise those of the grid cache-tuned that the grid fair lacks.
CACHED = (
    "fifo-cache+logq",
    "fifo-cache+logq+warmup",
    "fifo-cache+logq+push",
    "vector-cache+logq",
    "vector-cache+logq+push",
)

_SWEPT: Sweep = {
    "temperature": (0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5),
    "learning_rate": (1e-3, 2e-3),
}
# A run on MovieLens 1M takes ten times as long: the arms are named on the command line.
_LARGE: Sweep = {
    "temperature": (0.05, 0.07, 0.1, 0.15, 0.2, 0.3),
    "learning_rate": (1e-3,),
}
# There a model is at its best after few epochs.
_LARGE_IN_TIME: Sweep = {
    "temperature": (0.1, 0.2, 0.4, 0.8),
    "learning_rate": (1e-3,),
    "epochs": (1, 3, 10),
}

# Purchases, on which low temperatures overfit after few epochs. The lowest temperature
# and the fewest epochs were added when the first twelve trials had chosen their ends.
_PURCHASES: Sweep = {
    "temperature": (0.05, 0.1, 0.2, 0.3, 0.4),
    "learning_rate": (1e-3,),
    "epochs": (1, 2, 3, 6, 12),
}

# The prior only ranks a trained model's items anew. With one of its own a model may be
# trained for longer: at a total of 1, lists of a well-trained one have too few clicks.
PRIOR_ARMS = (
    *("in-batch", "in-batch+logq", "mixed+logq", "full-softmax"),
    *("pointwise-sigmoid", "bpr"),
)
_PRIORS: Sweep = {"prior": (-0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)}
_LONGER: Sweep = {**_PURCHASES, "epochs": (3, 6, 12, 20)}

# A margin is at most as large as what is compared: two cosines are 2 apart.
_MARGINS: Sweep = {**_SWEPT, "temperature": (0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)}

# Smaller batches are noisier and make more steps, so that they need smaller rates.
_SMALL: Sweep = {**_SWEPT, "batch": (64,), "learning_rate": (5e-4, 1e-3)}
_MIDDLE: Sweep = {**_SWEPT, "batch": (256,)}
_BIG: Sweep = {**_SWEPT, "batch": (1024,), "learning_rate": (2e-3, 4e-3)}

# What the grids negatives and correction change of an arm, each with as many trials.
_VARIANTS: dict[str, tuple[Sweep, ...]] = {
    "in-batch": (_SMALL,),
    "in-batch+logq": (
        *(_SMALL, _MIDDLE, _BIG),
        _SWEPT | {"correct_positive": (0,)},
        _SMALL | {"correct_positive": (0,)},
    ),
    "in-batch+logq+same-item": (_SMALL,),
    "in-batch+logq-distinct": (_SWEPT, _SMALL),
    "weighted-softmax+logq": (_SWEPT, _SMALL),
    "in-batch+logq-periodic": (_SWEPT, _SWEPT | {"periodic.window": (24,)}),
    "in-batch+logq-periodic+time-order": (_SWEPT | {"periodic.window": (24,)},),
    "features+time-order": (_SWEPT,),
    "in-batch-part+logq": (_SWEPT | {"draws": (63, 255)},),
    "mixed+logq": (_SWEPT | {"draws": (64, 256, 4096)},),
    "mixed-popularity+logq": (_SWEPT | {"draws": (4096,)},),
    "extra+logq": (_SWEPT | {"extra.mix": (0.5,)},),
    "rank-band": (_SWEPT,),
    "hardest": (_SWEPT,),
}

# Likewise those of the grids about losses and towers that no other grid of trials has.
OTHERS = tuple(
    dict.fromkeys(
        name
        for grid in (history.HISTORY, depth.DEPTH, features.FEATURES, losses.LOSSES)
        for name in grid.arms
        if name not in (*TRAINED, *_VARIANTS, *(grid.tuning or Tuning()).as_arm)
    )
)

TUNING = Grid(
    name="tuning",
    question="Which temperature and learning rate suit each arm on validation?",
    topic="machinery",
    arms=(*TRAINED, *CACHED, *OTHERS),
    reference="full-softmax",
    seeds=1,
    minutes="105",
    swept=_SWEPT,
    arm_sweeps={"hinge": (_MARGINS,), "cosine-contrastive": (_MARGINS,)},
    elsewhere=Elsewhere(
        changes=SHORTER,
        swept={
            "ml-1m": _LARGE,
            "ml-1m-time": _LARGE_IN_TIME,
            "electronic": _PURCHASES,
        },
    ),
    changes={"fit_on": "train"},
    figures={},
    keep_places=CUTOFF,
)

TUNING_VARIANTS = Grid(
    name="tuning-variants",
    question="Which temperature and learning rate suit each batch, number of negatives "
    "and correction on validation?",
    topic="machinery",
    arms=tuple(_VARIANTS),
    reference="in-batch+logq",
    seeds=1,
    minutes="45",
    arm_sweeps=_VARIANTS,
    changes={"fit_on": "train"},
    figures={},
    keep_places=CUTOFF,
)

TUNING_PRIOR = Grid(
    name="tuning-prior",
    question="Which temperature, learning rate and popularity prior suit each arm on "
    "validation?",
    topic="machinery",
    arms=PRIOR_ARMS,
    reference="full-softmax",
    seeds=1,
    minutes="10",
    swept=_SWEPT | _PRIORS,
    elsewhere=Elsewhere(
        changes=SHORTER,
        swept={"ml-1m": _LARGE | _PRIORS, "electronic": _LONGER | _PRIORS},
        minutes={"electronic": "45"},
    ),
    changes={"fit_on": "train"},
    figures={},
    keep_places=CUTOFF,
)
