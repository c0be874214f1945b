"""The command line with the tiny arms and grids, as a program of its own.

TINY_LONG, of the environment, is the number of epochs of the arm ``tiny-long``.
"""

import os
import sys

from experiments.__main__ import main
from experiments.arms import ARMS
from experiments.grids import GRIDS
from tests.experiments.made import SMALL, TINY, grids

LONG = "TINY_LONG"

if __name__ in ("__main__", "__mp_main__"):  # the program, or a worker of it
    ARMS.update(TINY)
    ARMS["tiny-long"] = {**SMALL, "epochs": int(os.environ.get(LONG, 1_000_000))}
    GRIDS.update({grid.name: grid for grid in grids()})
if __name__ == "__main__":
    sys.exit(main())
