"""Made tables of trials, of which validation chooses."""

import pandas as pd

from experiments.tuned import SELECTORS


def made_trials(**rows):
    """Rows of a long table: arm, temperature, learning rate and both metrics' means."""
    lines = [
        {"arm": name, "metric": metric, "k": 20, "temperature": t, "mean": value}
        | {"learning_rate": 0.001}
        for name, trials in rows.items()
        for t, values in trials.items()
        for metric, value in zip(SELECTORS, values, strict=True)
    ]
    return pd.DataFrame(lines)
