"""When does log q find what users would choose, and when does it hide it?

A click needs an item to be liked and to be shown. In-batch negatives take away the log
of the click share, log q gives it back: with it, whatever made items popular. In made
worlds the truth is known: both corrected and uncorrected training are judged by
relevance, over the spread of quality and the spread of exposure.

    python -m experiments run exposure             about 6 minutes on 2 cores
    python -m experiments run exposure --quick     about 1 minute

Expect the corrected model to recover 0.65 to 0.7 of the truly best 20 without exposure
bias, and the uncorrected one to be ahead where exposure spreads more than quality.
"""

from experiments.grid import Grid, Study
from experiments.studies.curves import SIMULATED
from experiments.studies.exposure import ARMS, report_exposure, run_exposure

EXPOSURE = Grid(
    name="exposure",
    question="When does log q find what users would choose?",
    arms=ARMS,
    reference="in-batch",
    seeds=3,
    minutes="6",
    swept={},
    study=Study(run_exposure, report_exposure, SIMULATED),
)
