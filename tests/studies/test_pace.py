"""Examples and seconds to a level, and verdicts that follow the records."""

import numpy as np
import pytest

import experiments.studies.pace as pace
from experiments.kit import Data, tidy
from experiments.study import StudyOptions
from research.report.records import Stored, load_stored, study_header
from tests.studies.made import page_of

EPOCHS = np.arange(1, 11)


def rising(slope, top=0.3):
    """A curve that rises by slope an epoch up to the top."""
    return np.minimum(slope * EPOCHS, top)


def stored(slopes, milliseconds, seeds=3, items=3533, top=None):
    """Records whose curves rise by slopes[arm], with steps of so many milliseconds."""
    curves = np.array(
        [
            [rising(slopes.get(name, 0.1), (top or {}).get(name, 0.3))] * seeds
            for name in pace.ARMS
        ]
    )
    curves *= 1 + 0.001 * np.arange(seeds)[None, :, None]  # so that errors aren't 0
    turns = np.array([1.0, 1.1, 0.9])
    steps = [milliseconds.get(name, 10.0) / 1e3 * turns for name in pace.ARMS]
    header = study_header(
        *("pace", "made", False),
        **{"arms": list(pace.ARMS), "items": items, "batch": 100, "examples": 5000},
    )
    arrays = {
        "curves": curves,
        "step_seconds": np.array(steps),
        "temperatures": np.full(len(pace.ARMS), 0.1),
        "learning_rates": np.full(len(pace.ARMS), 0.001),
    }
    return Stored(header, {}, arrays)


def table(*about, **changes):
    """The table of such records, by arm."""
    return tidy(pace.derive(Data.of(stored(*about, **changes), pace.AXES))).set_index(
        "arm"
    )


def verdicts(*about, **changes):
    return pace.verdicts(Data.of(stored(*about, **changes), pace.AXES))


LOW = {pace.UNCORRECTED: 0.2}  # never reaches 95 % of 0.3


def test_a_level_is_reached_within_an_epoch():
    # 0.285 lies 0.85 of the way from the 2nd epoch's 0.2 to the 3rd's 0.3
    assert pace.epochs_to(rising(0.1), 0.285) == pytest.approx(2.85)
    assert pace.epochs_to(rising(0.1), 0.05) == pytest.approx(0.5)
    assert pace.epochs_to(rising(0.1), 0.31) == np.inf


def test_shares_are_of_the_full_softmax_with_the_same_seed():
    frame = table({pace.CORRECTED: 0.05}, {pace.CORRECTED: 2.0}, top=LOW)
    row = frame.loc[pace.CORRECTED]
    assert row.examples == pytest.approx(5.7 * 5000)  # 0.285 at 0.05 an epoch
    assert row.examples_share == pytest.approx(2.0, rel=1e-3)
    assert row.step_share == pytest.approx(0.2)
    assert row.seconds_share == pytest.approx(0.4, rel=1e-3)
    assert row.seconds == pytest.approx(5.7 * 50 * 0.002)
    assert frame.reached[pace.UNCORRECTED] == 0


def test_the_level_is_the_full_softmaxs_own_whatever_another_arm_reaches():
    frame = table({}, {}, top={"mixed+logq": 0.6})
    assert frame.examples[pace.REFERENCE] == pytest.approx(2.85 * 5000, rel=1e-3)
    assert frame.examples["mixed+logq"] == pytest.approx(2.85 * 5000, rel=1e-3)


def test_verdicts_follow_the_records():
    good = verdicts({}, {pace.CORRECTED: 4.0}, top=LOW)
    assert [row[2] for row in good] == ["holds"] * 6
    slow = dict.fromkeys(pace.ARMS, 0.05) | {pace.REFERENCE: 0.1, pace.UNCORRECTED: 0.1}
    assert [row[2] for row in verdicts(slow, {})] == ["fails"] * 6
    # what is enough at 3,533 items isn't at 50,000
    large = verdicts({}, {pace.CORRECTED: 4.0}, top=LOW, items=50_000)
    assert large[-2][2] == "fails"
    assert verdicts({}, {pace.CORRECTED: 4.0}, seeds=1, top=LOW)[0][2] == "undecided"


def test_an_arm_that_doesnt_reach_the_level_fails_and_says_so(tmp_path):
    top = dict.fromkeys(pace.ARMS, 0.2) | {pace.REFERENCE: 0.3}
    assert verdicts({}, {}, top=top)[0][1:] == ["no value in 3 of 3 seeds", "fails"]
    page = page_of(stored({}, {}, top=top), tmp_path)
    assert page.count("| - | - | 10.00 | - | - |") == len(pace.ARMS) - 1


@pytest.mark.slow
def test_a_quick_run_is_reported_from_its_records_alone(tmp_path, monkeypatch):
    arms = pace.REFERENCE, pace.CORRECTED, pace.UNCORRECTED
    monkeypatch.setattr(pace, "ARMS", arms)
    path = pace.run_pace(StudyOptions(tmp_path, quick=True))
    records = load_stored(path)
    assert records.header["arms"] == [*arms]
    assert records.arrays["curves"].shape == (len(arms), 1, 2)
    assert (records.arrays["step_seconds"] > 0).all()
    page_of(path, tmp_path)
