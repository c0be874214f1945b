"""Whom does the gradient fall on: the share of the hardest negatives, by temperature.

The common account calls a small temperature a magnifier of what is ranked badly. No run
is judged here: on an untrained model and after 10 epochs of full softmax, the share of
the gradient that falls on the 1, 10 and 100 hardest of all negatives is measured by
autodiff through the loss of training, and stands beside the softmax's own formula.

    python -m experiments run magnifier            about 2 minutes on 2 cores
    python -m experiments run magnifier --quick    about half a minute

Expect on MovieLens 100K, trained: the 10 hardest of 1,446 get about 87 % of the
gradient at temperature 0.02, 20 % at 0.1 and 1.2 % at 1, where all weigh the same.
"""

from experiments.grid import Grid, Study
from experiments.studies.magnifier import report_magnifier, run_magnifier

MAGNIFIER = Grid(
    name="magnifier",
    question="Whom does the gradient fall on, at which temperature?",
    arms=(),
    reference="",
    seeds=5,
    minutes="2",
    swept={},
    study=Study(run_magnifier, report_magnifier),
)
