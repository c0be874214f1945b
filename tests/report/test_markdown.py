"""The Markdown table: marks, holes, and what it says about itself."""

import pytest

from research.evaluate.metrics import METRICS
from research.report.pages import markdown
from research.report.tables import marked_table, table
from research.types import InputError
from tests.report.made import made_rows, parsed, swept_rows


@pytest.fixture(scope="module")
def rows():
    return made_rows()


def shown(rows, **kwargs):
    frame, marks = marked_table(rows, "in-batch")
    text = markdown(frame, "SSB", marks, **kwargs)
    return text, parsed(text)


def test_one_row_an_arm_with_every_column(rows):
    text, cells = shown(rows, notes=["ml-100k, split ratio."])
    assert text.startswith("# SSB\n")
    assert list(cells) == ["in-batch", "in-batch+logq", "full-softmax", "popularity"]
    found = list(cells["in-batch"])
    leading = (
        "arm|temperature|R@20|Δ R@20|R@100|Δ R@100|N@20|Δ N@20|item-averaged recall"
    )
    assert found[:9] == leading.split("|")
    paged = {m.heading(20) for m in METRICS.values() if m.page and not m.page.leading}
    assert len(found) == len(set(found))
    assert {"head", "coverage", "Gini", "ILD", "1 - AUC"} <= set(found[9:]) <= paged
    assert "ml-100k, split ratio." in text
    assert "3 seeds, 40 users; [low, high] is a 95 % interval over users and" in text
    text, _ = shown([row for row in rows if row.seed == 0])
    assert "1 seed, 40 users; [low, high] is a 95 % interval over users, for these" in (
        text
    )


def test_the_best_is_bold_and_its_ties_have_a_dagger(rows):
    frame = table(rows, "in-batch")
    text, cells = shown(rows)
    bold = [arm for arm, row in cells.items() if row["R@20"].startswith("**")]
    recall = frame[(frame.metric == "recall") & (frame.k == 20)]
    assert bold == [recall.arm[recall["mean"].idxmax()]]
    tied = [arm for arm, row in cells.items() if "†" in row["R@20"]]
    assert tied == [arm for arm in ("in-batch+logq", "full-softmax") if arm not in bold]
    assert not any("**" in row["coverage"] for row in cells.values())
    assert "contains 0. It is not adjusted" in text
    assert "distinguishable" not in text


@pytest.mark.parametrize("k", [20, 100])
def test_intervals_and_differences_are_the_tables(rows, k):
    frame = table(rows, "in-batch")
    _, cells = shown(rows)
    row = frame[
        (frame.arm == "popularity") & (frame.metric == "recall") & (frame.k == k)
    ].iloc[0]
    ends = f"{row['mean']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"
    assert cells["popularity"][f"R@{k}"] == ends
    delta = f"{row['delta']:+.4f} [{row['delta_low']:+.4f}, {row['delta_high']:+.4f}]"
    assert cells["popularity"][f"Δ R@{k}"] == delta
    assert cells["in-batch"]["Δ R@20"] == "-"


def test_a_failed_row_says_why_and_breaks_nothing(rows):
    holed = [
        row._replace(record=None, reason="a | b\nc") if row.arm == "popularity" else row
        for row in rows
    ]
    text, cells = shown(holed)
    assert cells["popularity"]["R@20"] == "failed: a / b c (seeds 0, 1, 2)"
    assert cells["popularity"]["coverage"] == "failed"
    assert "a \\| b c" in text


def test_swept_values_and_another_cut_off():
    text = markdown(table(swept_rows(), "in-batch"), "T", k=10)
    assert "| arm | temperature | R@10 |" in text
    assert "| `full-softmax` | 0.05 |" in text
    assert all(row["ILD"] == "-" for row in parsed(text).values())
    with pytest.raises(InputError, match="no cut-off 11"):
        markdown(table(made_rows(), "in-batch"), "T", k=11)
