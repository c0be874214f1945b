"""The numbers of the page of results are those of the committed table."""

import re
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]


def test_the_table_of_results_is_the_committed_one():
    frame = pd.read_csv(ROOT / "results" / "tables" / "ml-100k" / "ssb.csv")
    at = frame[frame.k == 20].set_index(["arm", "metric"])
    row = re.compile(r"\| `(\S+)` \| (.*) \[(.*), (.*)\] \| (.*) \| (.*) \| (.*) \|")
    found = row.findall((ROOT / "docs" / "results.md").read_text())
    assert len(found) >= 9
    for arm, mean, low, high, item, coverage, count in found:
        recall = at.loc[(arm, "recall")]
        assert (mean, low, high) == tuple(
            f"{recall[c]:.3f}" for c in ("mean", "low", "high")
        )
        assert item == f"{at.loc[(arm, 'recall_item'), 'mean']:.3f}"
        assert coverage == f"{at.loc[(arm, 'coverage'), 'mean']:.2f}"
        assert count == f"{at.loc[(arm, 'train_count'), 'mean']:.0f}"
