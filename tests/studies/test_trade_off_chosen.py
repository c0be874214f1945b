"""The epoch that validation chooses, and verdicts on what is served after it."""

import dataclasses

import numpy as np
import pytest

import experiments.studies.totals as totals
import experiments.studies.trade_off as trade_off
from experiments.studies.totals import TOTALS, at_chosen_epochs, by_epoch
from experiments.studies.trade_off import ARMS, NUMBERS
from experiments.studies.trade_off_chosen import (
    chosen_frame,
    run_trade_off_chosen,
    verdicts,
)
from experiments.study import StudyOptions
from research.report.records import Stored, load_stored
from tests.studies.reported import page_of
from tests.studies.tastes import small_config, write_tastes
from tests.studies.test_trade_off import made

EPOCHS = np.array([[2, 3, 4], [3, 3, 3], [5, 6, 7], [9, 9, 9], [20, 20, 20]], float)


def both(other=None, longer=2, **changes):
    """Records of both arms, alike in both ways of choosing but for the epochs.

    The second arm differs by what is changed; the calibrated total has it trained
    longer by so many epochs.
    """
    one, other = made(apart=0.03), other or made(apart=0.03)
    arrays = {
        name: np.concatenate([values, other.arrays[name] + changes.get(name, 0.0)])
        if values.ndim > 1
        else values
        for name, values in one.arrays.items()
    }
    arrays["epoch"] = np.stack([EPOCHS, EPOCHS - 1])
    arrays = {
        name: np.stack([values, values], axis=3) if values.ndim > 1 else values
        for name, values in arrays.items()
    }
    arrays["epoch"][1, ..., 1] += longer
    header = one.header | {"grid": "trade-off-chosen", "arms": [*ARMS]}
    return Stored(header, {}, arrays)


def test_the_epoch_is_that_of_highest_validation_recall(tmp_path):
    dataset = str(write_tastes(tmp_path / "made"))
    config = small_config(StudyOptions(tmp_path, dataset=dataset), 0.05)
    config = dataclasses.replace(config, epochs=10)  # it is worse later on
    looks = by_epoch(config, None, names=NUMBERS)
    best = int(looks["validation"].argmax())
    assert best < config.epochs - 1, "the test needs a model that is not the last"
    found = at_chosen_epochs(config, None, NUMBERS)
    assert found["epoch"][0] == best + 1
    assert found["validation"][0] == pytest.approx(looks["validation"][best])
    # What is served after the epoch that the calibrated total chooses is of that epoch.
    for way, epoch in enumerate(found.pop("epoch").astype(int)):
        for name in found.keys() - {"validation"}:
            np.testing.assert_allclose(
                found[name][way], looks[name][epoch - 1], rtol=1e-5, err_msg=name
            )
    assert not np.allclose(found["recall"][0], looks["recall"][-1])


def test_each_way_chooses_by_its_own_total(tmp_path, monkeypatch):
    """Recall that falls with the epochs at a total of 1, and rises with another."""
    dataset = str(write_tastes(tmp_path / "made"))
    config = small_config(StudyOptions(tmp_path, dataset=dataset), 0.1)
    config = dataclasses.replace(config, epochs=3)
    looks = []

    def validation(self, vectors, total=1.0):
        looks.append(total)
        return {True: -0.1, False: 0.1}[total == 1.0] * len(looks)

    monkeypatch.setattr(totals.Judges, "validation", validation)
    monkeypatch.setattr(totals, "fitted_total", lambda run, vectors: (1.5, 1.0))
    found = at_chosen_epochs(config, None, NUMBERS)
    assert found["epoch"].tolist() == [1, 3]
    assert not np.allclose(*found["recall"])


def test_an_epoch_whose_clicks_fit_no_total_is_not_chosen_by_it(tmp_path, monkeypatch):
    dataset = str(write_tastes(tmp_path / "made"))
    config = small_config(StudyOptions(tmp_path, dataset=dataset), 0.1)
    config = dataclasses.replace(config, epochs=3)
    fits = iter([(np.nan, np.nan), (1.2, 1.0), (np.nan, np.nan), *[(1.0, 1.0)] * 2])
    monkeypatch.setattr(totals, "fitted_total", lambda run, vectors: next(fits))
    assert at_chosen_epochs(config, None, NUMBERS)["epoch"][1] == 2


def found(stored):
    return [row[2] for row in verdicts(stored)]


def test_each_statement_at_a_total_of_1_follows_what_it_is_about():
    # At a total of 1 recall ranges by 0.06, calibrated not at all, and calibration
    # adds 0.064 at the chosen temperature.
    assert found(both())[:9] == [
        *["holds", "fails", "fails"] * 2,
        *("holds", "fails", "fails"),
    ]
    flat = both()
    flat.arrays["recall_calibrated"][:] = flat.arrays["recall"][..., 5]
    assert found(flat)[:6] == ["holds"] * 6
    assert found(both(coverage=0.1 * np.arange(5)[:, None, None]))[3] == "fails"
    assert found(both(recall_calibrated=0.003))[6:9] == ["fails"] * 3
    assert found(both(recall_calibrated=-0.003))[6] == "holds"
    assert found(both(coverage_calibrated=0.2))[7] == "holds"


def test_each_statement_with_the_calibrated_total_follows_what_it_is_about():
    assert found(both())[9:] == ["holds", "fails", "holds", "fails", "holds"]
    assert found(both(longer=0.5))[9] == "fails"
    better = both()
    better.arrays["recall_calibrated"][1, ..., 1] += 0.01
    assert found(better)[10] == "holds"
    worse = both(coverage_calibrated=0.2)
    worse.arrays["recall_calibrated"][1, ..., 1] -= 0.06
    assert found(worse)[11:] == ["fails", "holds", "fails"]


def test_the_prior_s_curve_is_read_at_the_other_arm_s_coverage():
    # The chosen curve of in-batch is 0.30 less a tenth of the coverage, here 0.5.
    for recall, verdict in ((0.2515, "holds"), (0.2525, "fails")):
        stored = both(made(calibrated=0.5, apart=0.03))
        stored.arrays["recall_calibrated"][1] = recall
        (text, measured, found) = verdicts(stored)[8]
        assert text.startswith("in-batch has, with the total at which it has that")
        assert measured.startswith(f"{0.25 - recall:+.4f}")
        assert found == verdict


def test_each_arm_is_read_at_its_own_temperature_in_each_way():
    stored = both(longer=0.0)
    arrays = stored.arrays
    arrays["validation"][1, 3, :, 1] = 1.0  # chosen with the calibrated total: 0.4
    arrays["epoch"][1, 3, :, 1] += 5
    arrays["recall_calibrated"][1, 3, :, 1] += 0.02
    arrays["coverage_calibrated"][1, 3, :, 1] += 0.2
    longer, recall, _, coverage, prior = verdicts(stored)[9:]
    assert longer[1].startswith("+5.0")
    assert recall[1].startswith("+0.02")
    assert coverage[1].startswith("+0.2")
    # The prior's own curve, at 0.2, has 0.30 less a tenth of the coverage, 0.5.
    assert prior[1].startswith(f"{0.25 - 0.32:+.4f}")


def test_a_coverage_that_the_prior_does_not_reach_decides_nothing_about_less_recall():
    stored = both()
    stored.arrays["coverage_calibrated"][1] = 2.0
    rows = verdicts(stored)
    assert [row[2] for row in rows if row[1].startswith("no total")] == [
        "fails",
        "undecided",
    ]


def test_one_arm_judges_only_what_is_about_it(tmp_path):
    stored = both()
    arrays = {
        name: values[1:] if values.ndim > 1 else values
        for name, values in stored.arrays.items()
    }
    about = {"arms": ["in-batch+logq"], "dataset": "ml-100k"}
    alone = Stored(stored.header | about, {}, arrays)
    assert len(verdicts(alone)) == 3
    assert "in-batch (not run here)" in page_of(alone, tmp_path)


def test_the_page_has_the_chosen_epochs(tmp_path):
    page = page_of(both(), tmp_path)
    frame = chosen_frame(both())
    one, other = [3, 3, 6, 9, 20], np.array([2, 2, 5, 8, 19])
    assert frame.epoch.tolist() == pytest.approx([*one, *other, *one, *(other + 2)])
    for way in ("a total of 1", "the calibrated total"):
        assert f"| {way} | in-batch | **0.2** | 6.0 [3.5, 8.5] |" in page


def test_from_a_quick_run_to_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(trade_off, "config_at", small_config)
    made_set = str(write_tastes(tmp_path / "made"))
    path = run_trade_off_chosen(StudyOptions(tmp_path, dataset=made_set, quick=True))
    stored = load_stored(path)
    assert stored.header["arms"] == [*ARMS]
    assert stored.arrays["recall"].shape == (2, 2, 1, 2, len(TOTALS))
    assert ((stored.arrays["epoch"] >= 1) & (stored.arrays["epoch"] <= 4)).all()
    page_of(path, tmp_path)
