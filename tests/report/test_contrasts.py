"""Contrasts: the numbers of the table, p values of a family, verdicts, and holes."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from experiments.grid import Contrast, Prediction
from experiments.grids import GRIDS
from experiments.resolve import expand
from research.config import Config
from research.evaluate.metrics import METRICS
from research.report.contrasts import (
    contrast_frame,
    contrast_texts,
    verdict,
)
from research.report.figures import contrasts_figure
from research.report.pages import write_texts
from research.report.pictures import VERDICTS, save_figure, words_of
from research.report.records import RunResult
from research.report.tables import table
from research.types import InputError
from tests.report.made import difference_of, made_record, made_rows, swept_rows, without

FULL, LOGQ = "full-softmax", "in-batch+logq"


@pytest.fixture(scope="module")
def rows():
    return made_rows()


def moved(rows, arm, by):
    """The results with one arm's items of all users so many ranks higher."""
    out = []
    for row in rows:
        if row.arm == arm:
            rank = np.clip(row.record.rank.astype(int) - by, 0, 100).astype(np.uint8)
            row = row._replace(record=row.record._replace(rank=rank))
        out.append(row)
    return out


def test_a_contrast_is_the_difference_of_the_long_table(rows):
    frame = table(rows, "in-batch").set_index(["arm", "metric", "k"])
    for metric, k in (("recall", 100), ("ndcg", 20), ("recall_tail", 20), ("gini", 10)):
        cell = frame.loc[(FULL, metric, k)]
        found = difference_of(rows, FULL, "in-batch", metric, k)
        numbers = found.difference, found.low, found.high
        wanted = tuple(cell[["delta", "delta_low", "delta_high"]])
        assert numbers == pytest.approx(wanted, rel=1e-5, abs=1e-7)
        reference = frame.loc[("in-batch", metric, k), "mean"]
        assert found.reference == pytest.approx(reference, rel=1e-5)
        assert (found.users, found.seeds) == (cell["users"], 3)
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_swept_cells_are_named_by_their_values():
    rows = swept_rows()
    rows += [RunResult("popularity", {}, seed, made_record(0)) for seed in range(3)]
    at, other = {"temperature": 0.2}, {"temperature": 0.05}
    same = difference_of(rows, FULL, LOGQ, at=at)
    one, two = (difference_of(rows, arm, "popularity", at=at) for arm in (FULL, LOGQ))
    assert same.difference == pytest.approx(one.difference - two.difference)
    across = difference_of(rows, FULL, FULL, "recall", 20, at, other)
    turned = difference_of(rows, FULL, FULL, "recall", 20, other, at)
    assert across.difference == pytest.approx(-turned.difference)
    assert across.p == pytest.approx(turned.p)


def test_factors_at_two_cutoffs_are_compared_by_the_delta_method(rows, tmp_path):
    """Against the ratios themselves, and their jackknife over users for the error."""
    contrast = Contrast("in-batch+logq", "in-batch", "recall", 20, over=10)
    assert contrast.id == "in-batch-logq-vs-in-batch-recall-20-factor-over-10"
    one_seed = [row for row in rows if row.seed == 0]
    frame = contrast_frame(one_seed, [contrast])
    arm, other = (
        next(row.record for row in one_seed if row.arm == name)
        for name in (contrast.arm, contrast.against)
    )
    recall = METRICS["recall"].of
    parts = np.stack([recall(record, k) for k in (20, 10) for record in (arm, other)])

    def change(parts):
        at_20, below_20, at_10, below_10 = parts.mean(axis=1)
        return at_20 / below_20 - at_10 / below_10

    found, users = frame.iloc[0], parts.shape[1]
    assert found.difference == pytest.approx(change(parts))
    left_out = [change(np.delete(parts, user, axis=1)) for user in range(users)]
    error = np.std(left_out) * np.sqrt(users - 1)
    width = (found.high - found.low) / 2 / stats.t.ppf(0.975, users - 1)
    assert width == pytest.approx(error, rel=0.1)
    _, page = write_texts(tmp_path / "t", contrast_texts(frame, "Which?"))
    assert "factor in recall@20, less that at 10" in page.read_text()
    (axes,) = contrasts_figure(frame).figure.axes
    assert axes.get_yticklabels()[0].get_text().startswith("factor in recall@20, less")


def test_equivalence_is_two_one_sided_tests():
    """By hand: the differences of two seeds that are alike are a sample of users."""
    record = made_record(0, users=400)
    later = np.minimum(record.rank + np.arange(len(record.rank)) % 2, 100)
    near = record._replace(rank=later.astype(np.uint8))
    arms = {"a": near, "b": record}
    rows = [RunResult(arm, {}, s, found) for arm, found in arms.items() for s in (0, 1)]
    found = difference_of(rows, "a", "b")
    entry = METRICS["recall"]
    gaps = entry.of(near, 20) - entry.of(record, 20)
    margin = 0.02 * entry.of(record, 20).mean()
    upper = stats.ttest_1samp(gaps, margin, alternative="less").pvalue
    lower = stats.ttest_1samp(gaps, -margin, alternative="greater").pvalue
    assert found.p_equivalence == pytest.approx(max(upper, lower))
    assert found.p == pytest.approx(stats.ttest_1samp(gaps, 0).pvalue)


def test_verdicts():
    rows = made_rows(users=300)
    same = [row._replace(arm="copy") for row in rows if row.arm == FULL]
    contrasts = (
        Contrast(FULL, "in-batch"),
        Contrast("in-batch", FULL),
        Contrast("in-batch", FULL, "novelty"),
        Contrast(FULL, "copy"),
        Contrast(FULL, LOGQ),
    )
    words = ["better", "worse", "higher", "equivalent", "undecided"]
    frame = contrast_frame([*rows, *same], contrasts)
    assert frame.verdict.tolist() == words
    # a changed record changes the verdict
    frame = contrast_frame(moved([*rows, *same], "copy", 30), contrasts)
    assert frame.verdict.tolist() == [*words[:3], "worse", "undecided"]


def test_the_p_values_of_a_grid_are_one_family(rows):
    first = Contrast(FULL, LOGQ, "recall", 50)
    more = [Contrast(FULL, "in-batch", "recall", k) for k in (10, 20, 50)]
    alone, among = (contrast_frame(rows, c) for c in ([first], [first, *more]))
    assert alone.p_holm[0] == alone.p[0] == among.p[0]
    smaller = sorted(among.p)
    at = smaller.index(among.p[0])
    steps = [p * (4 - n) for n, p in enumerate(smaller[: at + 1])]
    assert among.p_holm[0] == pytest.approx(min(1.0, max(steps)))


def test_each_verdict_by_its_rule():
    row = {"metric": "recall", "difference": 0.1, "p_holm": 0.01}
    row["p_equivalence_holm"] = 0.9
    assert verdict(row) == "better"
    assert verdict({**row, "difference": -0.1}) == "worse"
    assert verdict({**row, "p_holm": 0.5}) == "undecided"
    assert verdict({**row, "p_holm": 0.5, "p_equivalence_holm": 0.01}) == "equivalent"
    assert verdict({**row, "difference": float("nan")}) == ""
    less = dataclasses.replace(METRICS["recall"], better="lower")
    with METRICS.added("missed", less):
        assert verdict({**row, "metric": "missed"}) == "worse"


def test_a_significant_difference_within_the_margin_is_called_both(rows):
    frame = contrast_frame(rows, [Contrast(FULL, "in-batch")])
    page = str(contrast_texts(frame, "Why?")["-contrasts.md"])
    assert "| better |" in page
    assert "within 2 %" not in page
    small = frame.assign(p_equivalence_holm=0.01)
    page = str(contrast_texts(small, "Why?")["-contrasts.md"])
    assert "| better, within 2 % |" in page
    assert "such a difference is significant and equivalent" in page


def test_a_verdict_goes_by_what_holm_leaves():
    row = {"metric": "recall", "difference": 0.1, "p": 0.04, "p_holm": 0.2}
    row |= {"p_equivalence": 0.04, "p_equivalence_holm": 0.2}
    assert verdict(row) == "undecided"


def test_what_the_records_lack_is_said_and_no_member_of_the_family(rows, tmp_path):
    lost = [RunResult("lost", {}, seed, None, "not finite") for seed in range(3)]
    some = [*without(rows, "expansion"), *lost]
    kept = [Contrast(FULL, "in-batch"), Contrast(LOGQ, "in-batch")]
    holes = [
        Contrast("absent", "in-batch"),
        Contrast(FULL, "lost"),
        Contrast(FULL, "in-batch", "recall_expansion"),
        Contrast(FULL, "in-batch", "recall", 30),
        Contrast(FULL, "in-batch", at={"temperature": 0.1}),
    ]
    frame = contrast_frame(some, [*kept, *holes])
    assert frame.note.tolist() == [
        *("", "", "not in these records: absent", "lost failed: not finite"),
        "recall_expansion@20 not measured in full-softmax",
        "recall@30 not measured in full-softmax",
        "not in these records: full-softmax temperature 0.1",
    ]
    assert frame.p_holm[:2].tolist() == contrast_frame(rows, kept).p_holm.tolist()
    assert frame.difference[2:].isna().all()
    assert set(frame.verdict[2:]) == {""}
    written = write_texts(tmp_path / "g", contrast_texts(frame, "Why?"))
    assert [path.name for path in written] == ["g-contrasts.csv", "g-contrasts.md"]
    text = written[1].read_text()
    assert "| lost failed: not finite | - |" in text
    assert "`absent`" not in text, "one line for all, so that others are seen"
    assert "2 of the declared contrasts are of arms that are not in these" in text
    assert "by Holm over the 2 contrasts with data" in text


def test_one_seed_has_an_interval_over_users_and_no_verdict(tmp_path):
    one = [row for row in made_rows(users=300) if row.seed == 0]
    frame = contrast_frame(one, [Contrast(FULL, "in-batch")])
    row = frame.iloc[0]
    assert row.low > 0, "clearly better for the users of these two models"
    assert np.isnan([row.p, row.p_holm, row.p_equivalence]).all()
    assert (row.verdict, row.note, row.seeds) == ("not tested", "one seed", 1)
    page = str(contrast_texts(frame, "Which?")["-contrasts.md"])
    assert "| not tested: one seed | 300 | 1 |" in page
    assert "intervals are over users only, and hold for these models alone" in page
    (legend,) = contrasts_figure(frame).figure.legends
    assert legend.get_title().get_text() == "No difference is tested"


@pytest.mark.parametrize(("seeds", "tests"), [(2, 1), (3, 2)])
def test_the_family_is_of_the_contrasts_that_have_a_test(seeds, tests):
    pair = FULL, "in-batch"
    both = Contrast(*pair), Contrast(*pair, "coverage")
    frame = contrast_frame(made_rows(seeds, users=300), both)
    assert frame.p.notna().sum() == tests
    assert frame.p_holm.min() == pytest.approx(tests * frame.p.min())
    whole = frame.iloc[1]
    untested = ("not tested", "no test below 3 seeds")
    assert ((whole.verdict, whole.note) == untested) == (seeds == 2)
    page = str(contrast_texts(frame, "Which?")["-contrasts.md"])
    which = {1: "1 contrasts with a test", 2: "2 contrasts with data"}
    assert f"by Holm over the {which[tests]}" in page


def test_copies_of_one_run_are_not_several_seeds(rows):
    """Of two arms that draw nothing at random, and of one beside an arm that does."""
    rows = [*rows, *(RunResult("ease", {}, s, made_record(9)) for s in range(3))]
    found = difference_of(rows, "ease", "popularity", "coverage")
    assert found.difference != 0
    assert np.isnan([found.low, found.high, found.p, found.p_equivalence]).all()
    (row,) = contrast_frame(
        rows, [Contrast("ease", "popularity", "coverage")]
    ).itertuples()
    assert (row.verdict, row.note) == ("not tested", "the same lists with every seed")
    assert difference_of(rows, "ease", "in-batch", "coverage").p < 1
    assert difference_of(rows, "ease", "popularity").p < 1, (
        "users are a sample all the same"
    )


def test_what_cannot_be_paired_is_refused(rows):
    fewer = [*rows[:3], *rows[3:5]]
    with pytest.raises(InputError, match="different seeds"):
        difference_of(fewer, LOGQ, "in-batch")
    later = [*rows[:3], *(row._replace(seed=row.seed + 1) for row in rows[3:6])]
    with pytest.raises(InputError, match="different seeds"):
        difference_of(later, LOGQ, "in-batch")
    other = [RunResult("other", {}, s, made_record(s, users=39)) for s in range(3)]
    with pytest.raises(InputError, match="different users"):
        difference_of([*rows, *other], "other", "in-batch")
    for row in rows[3:6]:  # of which no user has a positive in the tail
        record = row.record._replace(band=np.zeros_like(row.record.band))
        other.append(row._replace(arm="no tail", record=record))
    with pytest.raises(InputError, match="different users"):
        difference_of([*rows, *other], "no tail", "in-batch", "recall_tail")
    with pytest.raises(InputError, match="unknown metric 'recal'"):
        difference_of(rows, LOGQ, "in-batch", "recal")
    with pytest.raises(ValueError, match="full-softmax-vs-in-batch-recall-20"):
        contrast_frame(rows, [Contrast(FULL, "in-batch")] * 2)


@pytest.mark.parametrize("name", GRIDS)
def test_declared_contrasts_are_of_cells_of_their_grid(name):
    grid = GRIDS[name]
    # two choose values, and compare no arms; the page of the third has its contrasts
    assert grid.contrasts or name in ("recipe", "choose", "questions")
    cells = {(c.arm, frozenset(c.swept.items())) for c in expand(grid, Config())}
    ids = [contrast.id for contrast in grid.contrasts]
    assert len(set(ids)) == len(ids)
    for contrast in grid.contrasts:
        assert (contrast.arm, frozenset(contrast.at.items())) in cells
        given = contrast.against_at
        others = [given] if given is not None else [contrast.at, {}]
        assert any((contrast.against, frozenset(o.items())) in cells for o in others)
        assert given is not None or contrast.arm != contrast.against
        metric = METRICS[contrast.metric]
        assert contrast.k in (metric.cutoffs or (10, 20, 50, 100))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "a/b"}, "grid 'a/b': files are named after it"),
        ({"reference": "in-bach"}, "unknown reference of ssb 'in-bach'"),
        ({"changes": {"temprature": 0.1}}, "field in the changes of ssb 'temprature'"),
        (
            {"contrasts": (Contrast("in-batch", "in-batch+logq", "recal"),)},
            "unknown metric in a contrast of ssb 'recal'",
        ),
        (
            {"contrasts": (Contrast("in-batch", "popularty"),)},
            "unknown arm in a contrast of ssb 'popularty'",
        ),
        (
            {"contrasts": (Contrast("in-batch", "mixed"),) * 2},
            "two contrasts of ssb have the name in-batch-vs-mixed-recall-20",
        ),
        (
            {"prediction": Prediction(contrasts=(Contrast("in-batch", "mixed"),) * 2)},
            "two contrasts of ssb have the name in-batch-vs-mixed-recall-20",
        ),
    ],
)
def test_names_in_a_grid_that_lead_nowhere_are_refused(changes, reason):
    grid = GRIDS["ssb"].but(**changes)

    with pytest.raises(InputError, match=reason):
        expand(grid, Config())


def test_arms_named_in_another_script_have_links_of_their_own():
    ids = {Contrast(arm, "in-batch").id for arm in ("甲+logq", "乙+logq")}
    assert len(ids) == 2


def test_contrasts_have_the_look_of_their_verdict(tmp_path):
    contrasts = contrast_frame(
        made_rows(users=300),
        (
            Contrast("full-softmax", "in-batch"),
            Contrast("in-batch+logq", "in-batch"),
            Contrast("in-batch", "full-softmax", "novelty"),
            Contrast("full-softmax", "absent"),
        ),
    )
    assert set(contrasts.verdict) == {"better", "higher", ""}
    figure = contrasts_figure(contrasts).figure
    (axes,) = figure.axes
    drawn = [bars.lines[0].get_color() for bars in axes.containers]
    assert drawn == [VERDICTS[v].colour for v in ("better", "higher")]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[:3] == [
        *("recall@20, difference from in-batch:", "full-softmax", "in-batch+logq"),
    ]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["better, 2 of 3", "higher, 1 of 3"]
    title = figure.legends[0].get_title().get_text()
    assert title == "3 of 3 differences are significant"
    assert "without data: 1" in words_of(figure)
    (fewer,) = contrasts_figure(contrasts, without=(FULL,)).figure.axes
    left = [label.get_text() for label in fewer.get_yticklabels()]
    assert left == [name for name in names if name != FULL]
    far = contrasts_figure(contrasts, without=("novelty",)).figure
    shown = [label.get_text() for label in far.axes[0].get_yticklabels()]
    assert shown == names[:3]
    assert any("in the table alone: novelty" in text for text in words_of(far))
    none = contrast_frame([], (Contrast("a", "b"),))
    empty = contrasts_figure(none).figure
    assert "No contrast has data" in words_of(empty)
    assert len(save_figure(*contrasts_figure(none), tmp_path / "none")) == 2
