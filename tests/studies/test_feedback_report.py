"""Verdicts, title and page of the loops follow their records."""

import numpy as np

from experiments.studies import STUDIES
from experiments.studies.feedback import KINDS, POLICIES, Round
from experiments.studies.feedback.report import feedback_frame, heading, verdicts
from experiments.study import report_study
from research.report.records import Stored, save_stored, study_header


def stored(**changed):
    """Records in which the full correction is ahead; changed: [policy] by field."""
    fields = {
        "recovered": [0.3, 0.4, 0.6, 0.5, 0.55, 0.59, 0.5, 0.52, 0.59, 0.55, 0.595],
        "most": [0.7] * 11,
        "best": [1.0] * 11,
        "rule": [0.4] * 11,
        "tenth": [0.2, 0.3, 0.5, 0.4, 0.45, *[0.4] * 6],
        "scale": [np.nan] * 8 + [0.8] * 3,
    }
    seeds = np.linspace(-0.01, 0.01, 3)[None, None, :, None]
    shape = len(POLICIES), len(KINDS), 3, 2
    arrays = {
        name: np.broadcast_to(np.reshape(values, (-1, 1, 1, 1)), shape) + seeds
        for name, values in (fields | changed).items()
    }
    names = {"policies": list(POLICIES), "kinds": list(KINDS)}
    header = study_header("feedback", "simulated", False, **names)
    return Stored(header, {}, arrays)


def test_a_row_is_the_mean_over_all_seeds_of_its_kind():
    made = stored()
    made.arrays["recovered"][:, 1] /= 2
    frame = feedback_frame(made)
    full = frame[frame.policy == "full"]
    for kind, mean in (("even start", 0.6), ("Zipf start", 0.3)):
        rows = full[full.loop == kind]
        np.testing.assert_allclose(rows.recovered, mean)
        assert (rows.recovered_low < mean).all()
    assert len(frame) == len(KINDS) * len(POLICIES) * 2


def found(made):
    """The verdict of each statement."""
    return {row[0]: row[-1] for row in verdicts(made)}


def of_last(verdict):
    """Those that aren't of the first round."""
    return {text: says for text, says in verdict.items() if "first round" not in text}


def test_what_is_said_of_the_first_round_follows_it_alone():
    made = stored()
    rate, rule = map(list(POLICIES).index, ("rate", "rule"))
    above, near, alike, more = (text for text in found(made) if "first round" in text)
    assert found(made)[alike] == "fails"
    made.arrays["recovered"][list(POLICIES).index("ips"), ..., 0] += 0.1
    assert found(made)[alike] == "holds"
    assert found(made)[more] == "holds"
    made.arrays["recovered"][list(POLICIES).index("calibrated-rate"), ..., 0] -= 0.1
    assert found(made)[more] == "fails"
    assert (found(made)[above], found(made)[near]) == ("fails", "fails")
    made.arrays["recovered"][rule, ..., 0] -= 0.1
    made.arrays["recovered"][rate, ..., 0] -= 0.05
    assert (found(made)[above], found(made)[near]) == ("holds", "holds")
    made.arrays["recovered"][rate, ..., -1] = 0.0
    assert (found(made)[above], found(made)[near]) == ("holds", "holds")


def test_verdicts_follow_the_last_round():
    first = found(stored())
    made = stored()
    for name in Round._fields:  # whatever the first round was
        made.arrays[name][..., 0] = -made.arrays[name][..., 0]
    assert of_last(found(made)) == of_last(first)
    recovered = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.7, 0.6, 0.54, 0.55, 0.7]
    other = found(stored(recovered=recovered, rule=[0.8] * 11, best=[0.0] * 11))
    for kind in KINDS:
        text = f"{kind}: full recovers more than rule"
        assert (first[text], other[text]) == ("holds", "fails")
        assert other[f"{kind}: half recovers more than never"] == "holds"
        for text in (
            *("full recovers more than rate", "full recovers more than ips"),
            *("ips-half recovers more than ips", "calibrated recovers within 0.03"),
            *(f"calibrated-{n} recovers more than {n}" for n in ("rule", "rate")),
        ):
            (key,) = (key for key in first if key.startswith(f"{kind}: {text}"))
            assert (first[key], other[key]) == ("holds", "fails")
        beside = "full recovers more than calibrated-rule", ("holds", "fails")
        if kind == "50 % random":
            beside = "calibrated-rule recovers more than full", ("fails", "holds")
        text = f"{kind}: {beside[0]}"
        assert (first[text], other[text]) == beside[1]
        for text in ("shown recovers more than full", "at shown the best strength"):
            (key,) = (key for key in first if key.startswith(f"{kind}: {text}"))
            assert (first[key], other[key]) == ("fails", "holds")
    text = "Zipf start: the rule's strength is below 0.5"
    assert (first[text], other[text]) == ("holds", "fails")


def test_verdicts_between_kinds_compare_the_same_seeds():
    few, many, every = map(
        list(KINDS).index, ("5 % random", "50 % random", "all rounds")
    )
    full, rule = map(list(POLICIES).index, ("full", "rule"))
    made = stored()
    made.arrays["rule"][rule, many] += 0.1
    made.arrays["recovered"][full, few] += 0.1
    made.arrays["recovered"][full, every] += 0.2
    between = {
        "the rule's strength is higher with 50 % than with 5 % random": "+0.100",
        "full gains more over rule with 5 % than with 50 % random": "+0.100",
        "full recovers more trained on all rounds than on its own": "+0.200",
    }
    rows = [row for row in verdicts(made) if row[0].startswith((*between,))]
    for (_, measured, says), value in zip(rows, between.values(), strict=True):
        # The seeds' own differences cancel, so that the interval is narrow.
        assert (measured.split(" ")[0], says) == (value, "holds")
        assert measured == f"{value} [{value}, {value}]"
    made.arrays["recovered"][rule, few] += 0.2
    gains = next(v for text, v in found(made).items() if text.startswith("full gains"))
    assert gains == "fails"


def test_the_title_counts_the_loops_in_which_each_policy_reaches_the_highest():
    frame = feedback_frame(stored())
    frame = frame[frame.policy.isin(["never", "full"])].copy()
    assert heading(frame).endswith("'full' in 5 of 5 loops")
    ahead = (frame.loop == "all rounds") & (frame.policy == "never")
    interval = ["recovered", "recovered_low", "recovered_high"]
    frame.loc[ahead & (frame["round"] == 1), interval] = 0.9
    assert heading(frame).endswith("'full' in 5 of 5 loops")
    frame.loc[ahead & (frame["round"] == 2), interval] = 0.9
    assert heading(frame).endswith("'full' in 4, 'never' in 1 of 5 loops")
    frame.loc[ahead & (frame["round"] == 2), "recovered_low"] = 0.0
    assert heading(frame).endswith("'full' in 5, 'never' in 1 of 5 loops")


def test_a_report_comes_from_the_records_alone(tmp_path):
    made = stored()
    path = save_stored(tmp_path / "feedback.npz", made.header, dict(made.arrays))
    written = report_study(STUDIES["feedback"], path, tmp_path)
    names = {file.name for file in written}
    assert {"feedback.csv", "feedback.md", "feedback-rounds.png"} <= names
    page = (tmp_path / "tables" / "simulated" / "feedback.md").read_text()
    assert page.count("| holds |") == list(found(made).values()).count("holds")
    assert page.count("| full |") == len(KINDS) * 2
