"""Do optimisers that move only the touched rows of a table find the same model?

``lazy-adam`` leaves alone the moments and decay of rows that a step didn't look up;
``rowwise-adagrad`` keeps one number per row. The step size of the tables is swept, as a
multiple of the learning rate. How long a step takes is in results/benchmarks: for a
table of 1,682 rows, updating all of it is as fast.

    python -m experiments run optimisers           about 6 minutes on 2 cores, 5 seeds
    python -m experiments run optimisers --quick   about 1 minute

Expect on MovieLens 100K: R@20 0.254 for the dense one and for lazy-adam at its step
size, 0.259 at three times that; 0.254 to 0.256 for rowwise-adagrad from 30 times on,
less below. The best and the dense one are not distinguishable.
"""

from experiments.grid import AT_BEST, Contrast, Grid

_RATES = {"lazy-adam": (0.3, 1.0, 3.0), "rowwise-adagrad": (3.0, 10.0, 30.0, 100.0)}

OPTIMISERS = Grid(
    name="optimisers",
    question="Do row-sparse optimisers find the same model as the dense one?",
    topic="machinery",
    arms=("in-batch+logq", "lazy-adam", "rowwise-adagrad"),
    reference="in-batch+logq",
    minutes="6",
    contrasts=tuple(
        Contrast(arm, "in-batch+logq", at={"table_rate": rate})
        for arm, rates in _RATES.items()
        for rate in rates
    ),
    arm_sweeps={arm: ({"table_rate": rates},) for arm, rates in _RATES.items()},
    changes=AT_BEST,
)
