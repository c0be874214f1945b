"""The command line with the tiny arms and grids, as a program of its own.

TINY_LONG, of the environment, is the number of epochs of the arm ``tiny-long``.
"""

import os
import sys

from experiments.__main__ import main
from experiments.arms import ARMS
from experiments.commands import choose
from experiments.grids import GRIDS
from tests.experiments.made import SMALL, TINY, grids

LONG = "TINY_LONG"

if __name__ in ("__main__", "__mp_main__"):  # the program, or a worker of it
    ARMS.update(TINY)
    ARMS["tiny-long"] = {**SMALL, "epochs": int(os.environ.get(LONG, 1_000_000))}
    GRIDS.update({grid.name: grid for grid in grids()})
    # Two rounds of trials of a few small models, however much time there is.
    few = ("popularity", "ease", "in-batch", "in-batch+logq")
    small = {"dim": 8, "user_hidden": (8,), "item_hidden": (8,), "epochs": 40}
    changes = {**choose.CHOOSE.changes, **small}
    choose.CHOOSE = choose.CHOOSE.but(arms=few, changes=changes, figures={})
    choose.MOST = choose.FIRST
if __name__ == "__main__":
    sys.exit(main())
