"""Which arm wins at a requested precision, and does any beat a knob when serving?

Arms and temperatures in one picture: recall against each kind of diversity, with the
Pareto front. On it the line to beat: one trained model, in-batch at temperature 0.1
with and without log q in the loss, served with score / temperature + alpha log q for
alpha from -1 to 1, which costs nothing. A mitigation is better only where it lies
outside that line at equal popularity of what it recommends.

    python -m experiments run frontier             about 14 minutes on 2 cores, 5 seeds
    python -m experiments run frontier --quick     about 2 minutes

Expect on MovieLens 100K: the highest R@20, 0.26, from a corrected softmax at
temperature 0.2 with the user's positives masked; after Holm it alone lies above the
line, by 0.014, most others on it, a pointwise loss at 0.2 below it. In item-averaged
recall the full softmax at 0.1 lies above.
"""

import functools
from typing import Any

from experiments.grid import Contrast, Grid, Sweep
from experiments.recipe import FIRST
from research.registry import deferred

_ALPHAS = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
_LINE: Sweep = {"temperature": (0.1,), "prior": _ALPHAS}
_WIDE, _TWO = (0.05, 0.1, 0.2), (0.1, 0.2)
_SWEEPS: dict[str, tuple[Sweep, ...]] = {
    "in-batch": ({"temperature": _WIDE}, _LINE),
    "in-batch+logq": ({"temperature": _WIDE}, _LINE),
    "in-batch+logq+mask": ({"temperature": _TWO},),
    "mixed+logq": ({"temperature": _WIDE},),
    "full-softmax": ({"temperature": _WIDE},),
    "hardest": ({"temperature": _TWO},),
    "bpr-mean": ({"temperature": _TWO},),
    "pointwise-sigmoid": ({"temperature": _TWO},),
}

_FIGURE = deferred("research.report.figures:frontier_figure")
# Its recall of 0.06 would stretch every axis.
_SHOWN: dict[str, Any] = {"without": ("hardest",)}

_LOGQ, _AT = "in-batch+logq", {t: {"temperature": t} for t in _TWO}

FRONTIER = Grid(
    name="frontier",
    question="Which arm wins at a requested precision, and does any beat a prior?",
    topic="temperature",
    arms=tuple(_SWEEPS),
    reference="in-batch+logq",
    changes=FIRST,
    minutes="14",
    contrasts=(
        Contrast(_LOGQ, _LOGQ, "recall", 20, _AT[0.2], _AT[0.1]),
        *(
            Contrast(f"{_LOGQ}+mask", _LOGQ, metric, 20, _AT[0.2])
            for metric in ("recall", "recall_item")
        ),
        Contrast("full-softmax", _LOGQ, "recall", 20, _AT[0.2]),
    ),
    arm_sweeps=_SWEEPS,
    figures={
        "diversity": functools.partial(_FIGURE, **_SHOWN),
        "diversity-item": functools.partial(_FIGURE, judged="recall_item", **_SHOWN),
        "serving": functools.partial(
            deferred("research.report.figures:serving_figure"), **_SHOWN
        ),
    },
    tables=(deferred("research.report.frontier:write_frontier"),),
)
