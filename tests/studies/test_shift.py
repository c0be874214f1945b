"""The shifted split: verdicts that follow the records, and a run on made data."""

import numpy as np
import pandas as pd
import pytest

import experiments.studies.shift as shift
from experiments.studies import STUDIES
from experiments.studies.compared import Pair, Served, contrast_frame, difference
from experiments.studies.shift import (
    HELPS_AND_HARMS,
    contrasts,
    shift_figure,
    shift_frame,
    verdicts,
)
from experiments.studies.split import SHIFTED
from experiments.study import StudyOptions, report_study
from research.report.intervals import two_way
from research.report.records import Stored, load_stored, study_header
from research.types import InputError
from tests.studies.test_split import write_split

ARMS = ("in-batch", "in-batch+logq", "mixed", "mixed+logq")
PRIORS = (-1.0, 0.0, 0.5, 1.0)


def stored(random=1.0, shifted=0.0, noise=1e-4) -> Stored:
    """Records in which NDCG falls with the distance from a best total strength."""
    draw = np.random.default_rng(0)
    arrays = {"priors": np.array(PRIORS)}
    for split, best in (("random", random), ("shifted", shifted)):
        users = draw.uniform(0.2, 0.3, (30, 1)) + draw.normal(0, noise, (4, 4, 30, 3))
        totals = np.array(
            [[("logq" in arm) + prior for prior in PRIORS] for arm in ARMS]
        )
        height = -0.1 * np.abs(totals - best)
        arrays[f"{split}_ndcg_20"] = height[..., None, None] + users
        for field, value in (("temperature", 0.1), ("learning_rate", 0.01)):
            arrays[f"{split}_{field}"] = np.full(len(ARMS), value)
    header = study_header("shift", "made", False, "0" * 64, arms=list(ARMS))
    return Stored(header, {}, arrays)


def found(records: Stored) -> list[str]:
    return [row[2] for row in verdicts(shift_frame(records), records)]


def test_records_as_predicted_hold():
    assert found(stored()) == ["holds"] * 8


def test_records_against_the_prediction_fail():
    assert found(stored(random=0.0)) == ["fails"] * 4 + ["holds"] * 4
    assert found(stored(shifted=1.0)) == ["holds"] * 4 + ["fails"] * 4


def test_contrasts_have_the_verdict_of_their_adjusted_p():
    frame = contrasts(stored(random=0.0))
    assert [*frame.verdict] == [*["worse"] * 3, "better"] * 2
    half = "in-batch prior 0.5"  # against all of log q in the loss
    assert [*(frame.arm == half)] == [False, False, False, True] * 2
    expected = [*["better"] * 3, "worse", *["worse"] * 3, "better"]
    assert [*contrasts(stored()).verdict] == expected
    assert frame.id[0] == "random-in-batch-logq-vs-in-batch-ndcg-20"
    differences = [-0.1, -0.1, -0.1, 0.05] * 2
    np.testing.assert_allclose(frame.difference, differences, atol=0.005)
    noisy = contrasts(stored(random=0.5, noise=0.1))
    assert [*noisy.verdict[:3]] == ["undecided"] * 3
    assert noisy.p_holm.min() == pytest.approx(min(1, len(noisy) * noisy.p.min()))


def test_the_heading_says_what_the_contrasts_show():
    def drawn(records):
        return shift_figure(shift_frame(records), contrasts(records))

    figure, points = drawn(stored())
    ((heading,),) = [[legend.get_title().get_text()] for legend in figure.legends]
    assert heading.replace("\n", " ") == HELPS_AND_HARMS
    lines = [line.get_xdata() for line in figure.axes[0].lines]
    starts = {place[0] for place in lines if len(place) > 1}
    assert len(starts) == len(ARMS)  # no two start at one place
    assert set(points.total[points.arm == "in-batch"]) == {-1, 0, 0.5, 1}
    assert set(points.total[points.arm == "mixed+logq"]) == {0, 1, 1.5, 2}
    for other in (stored(random=0.0), stored(shifted=1.0), stored(noise=0.3)):
        (legend,) = drawn(other).figure.legends
        assert legend.get_title().get_text().endswith("?")


def test_what_noise_hides_is_undecided():
    verdict = found(stored(random=0.5, noise=0.1))[:3]
    assert verdict == ["undecided"] * 3


def test_a_difference_is_paired_by_user_and_seed():
    records = stored()
    values = records.arrays["shifted_ndcg_20"]
    expected = two_way(values[1, 1] - values[0, 1])
    pair = Pair("shifted", Served("in-batch+logq"), Served("in-batch"))
    assert difference(records, pair) == expected


def test_one_seed_has_no_verdict():
    records = stored()
    one = {n: v[..., :1] if "ndcg" in n else v for n, v in records.arrays.items()}
    pair = Pair("shifted", Served("in-batch+logq"), Served("in-batch"))
    for arrays, untested in ((records.arrays, False), (one, True)):
        (row,) = contrast_frame(records._replace(arrays=arrays), [pair]).itertuples()
        assert (row.verdict == "not tested", bool(np.isnan(row.p))) == (untested,) * 2


def test_from_made_pairs_to_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(shift, "CHANGES", shift.CHANGES | {"batch": 64})
    draw = np.random.default_rng(0)
    for data in ("made", "made" + SHIFTED):
        write_split(tmp_path / "data" / data, draw)
    data = str(tmp_path / "data" / "made")
    options = StudyOptions(tmp_path / "out", data, quick=True, arms=ARMS[1::-1])
    records = shift.run_shift(options)
    about = load_stored(records)
    assert about.header["arms"] == [*ARMS[:2]]  # in the study's order
    assert about.header["split"] == "given"
    assert about.arrays["random_ndcg_20"].shape == (2, len(shift.PRIORS), 98, 1)
    for field, values in shift.SWEEP.items():
        tried = {np.float32(value) for value in values}
        assert set(about.arrays[f"shifted_{field}"]) <= tried
    plain, corrected = about.arrays["random_ndcg_20"]
    assert (plain != corrected).any()
    _, compared, _, page, *_ = report_study(STUDIES["shift"], records, tmp_path / "out")
    assert "A quick run" in page.read_text()
    assert len(pd.read_csv(compared)) == 6  # a pair, a prior and both, on two splits


def test_one_arm_has_no_contrasts():
    records = stored()
    arrays = {n: a if n == "priors" else a[2:3] for n, a in records.arrays.items()}
    header = {**records.header, "arms": ["mixed"]}
    records = records._replace(arrays=arrays, header=header)
    assert len(shift_frame(records)) == 8  # four priors on two splits
    assert len(contrasts(records)) == 0
    assert verdicts(shift_frame(records), records) == []


def test_an_arm_that_it_does_not_have_is_refused():
    with pytest.raises(InputError, match="no arm siglip: in-batch, "):
        STUDIES["shift"].check_arms(("in-batch", "siglip"))
    with pytest.raises(InputError, match="no use for --arms"):
        STUDIES["coverage"].check_arms(("in-batch",))
