"""The loss at K beside a popularity prior: verdicts that follow the records, a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import experiments.studies.at_k as at_k
from experiments.studies import STUDIES
from experiments.studies.at_k.report import (
    POPULAR,
    at_k_figure,
    at_k_frame,
    at_k_page,
    contrasts,
    heading,
    own_prior,
    verdicts,
)
from experiments.studies.split import SHIFTED, splits_of
from experiments.study import StudyOptions, report_study
from research.files import read_json
from research.logits.reducers import Dense
from research.losses import LOSSES
from research.losses.context import Context
from research.losses.top_k import Thresholds
from research.report.records import Stored, load_stored, study_header
from tests.studies.test_split import write_split

SL, AT_K, STOPPED, WEAKER = at_k.SWEEPS
# The total strength that a model of each arm has learned, as if SL@20 were popularity.
LEARNED = {SL: 0.0, AT_K: 0.5, STOPPED: 0.1, WEAKER: 0.5}


def stored(best=0.5, shifted=0.0, learned=LEARNED, noise=1e-4) -> Stored:
    """Records in which NDCG falls with the distance from a best total strength."""
    draw = np.random.default_rng(0)
    priors = np.array(at_k.PRIORS)
    arrays = {"priors": priors}
    for split, top in (("random", best), ("shifted", shifted)):
        users = draw.uniform(0.2, 0.3, (30, 1)) + draw.normal(0, noise, (4, 7, 30, 3))
        totals = np.array([learned[arm] + priors for arm in at_k.SWEEPS])
        height = -0.1 * np.abs(totals - top)
        arrays[f"{split}_ndcg_20"] = height[..., None, None] + users
        arrays[f"{split}_validation"] = 0.3 - np.abs(totals - best)
        counts = 100 + 100 * totals[..., None] + np.zeros(3)
        arrays[f"{split}_train_count_20"] = counts
    header = study_header("at-k", "made", False, "0" * 64, arms=[*at_k.SWEEPS])
    values = {arm: {"temperature": "0.2"} for arm in at_k.SWEEPS}
    return Stored(header, {"chosen": {"random": values, "shifted": values}}, arrays)


def found(records: Stored) -> dict[str, str]:
    return {row[0]: row[2] for row in verdicts(records)}


def without_shift(records: Stored) -> Stored:
    arrays = {n: a for n, a in records.arrays.items() if not n.startswith("shifted")}
    return records._replace(arrays=arrays)


def test_a_loss_that_learns_popularity_is_found_out():
    assert [*found(stored()).values()] == ["holds"] * 9


def test_a_loss_that_learns_something_else_fails_the_prediction():
    records = stored(learned=dict.fromkeys(at_k.SWEEPS, 0.0))
    records.arrays["random_ndcg_20"][1:3] += 0.05
    records.arrays["shifted_ndcg_20"][1:3] += 0.05
    verdict = [*found(records).values()]
    assert verdict == [
        "holds",
        "undecided",
        *["fails"] * 2,
        "undecided",
        *["fails"] * 4,
    ]


@pytest.mark.parametrize(("pairs", "epochs"), [(1, None), (10**6, 100)])
def test_every_arm_has_more_epochs_on_a_small_data_set(
    pairs, epochs, tmp_path, monkeypatch
):
    write_split(tmp_path / "made", np.random.default_rng(0))
    monkeypatch.setattr(at_k, "SMALL", pairs)
    sweeps = at_k.sweeps_on(tmp_path / "made")
    assert [*sweeps] == [*at_k.SWEEPS]
    for arm, sweep in sweeps.items():
        assert sweep == at_k.SWEEPS[arm] | ({"epochs": (epochs,)} if epochs else {})


def test_what_noise_hides_is_undecided():
    verdict = found(stored(noise=0.3))
    assert verdict["random: SL@20 above SL"] == "undecided"
    assert verdict["shifted: SL@20 below SL"] == "undecided"


def test_without_a_shifted_split_nothing_is_said_of_it():
    records = without_shift(stored())
    assert [*found(records).values()] == ["holds"] * 8
    assert set(at_k_frame(records).split) == {"random"}
    page = "\n".join(at_k_page(at_k_frame(records), records))
    assert "shifted" not in page


def test_an_arms_own_prior_is_that_of_validation():
    records = stored(shifted=0.0)
    assert own_prior(records, "shifted", SL) == 0.5  # on test 0 is best
    assert own_prior(records, "random", AT_K) == 0.0
    records.arrays["random_validation"][0] = 0.1
    assert own_prior(records, "random", SL) == 0.0  # of equal ones


def test_contrasts_are_between_arms_at_their_own_priors():
    records = stored()
    frame = contrasts(records)
    random = frame[frame.split == "random"]
    pairs = [*zip(random.arm, random.against, strict=True)]
    half = f"{SL} prior 0.5"
    assert pairs[:3] == [(AT_K, SL), (AT_K, STOPPED), (STOPPED, SL)]
    assert pairs[3:5] == [(WEAKER, SL), (AT_K, WEAKER)]
    assert pairs[5:] == [(AT_K, half), (half, SL)]
    assert [*random.verdict[:4]] == ["better"] * 4
    shifted = frame[frame.split == "shifted"].set_index(["arm", "against"])
    assert shifted.verdict[AT_K, SL] == "worse"
    records.arrays["random_validation"][:] = 0.1  # then no arm prefers a prior
    random = contrasts(without_shift(records))
    assert [*zip(random.arm, random.against, strict=True)] == pairs[:5]


def test_the_heading_says_what_the_verdicts_show():
    records = stored()
    figure, points = at_k_figure(
        at_k_frame(records), records, heading(verdicts(records))
    )
    (legend,) = figure.legends
    assert legend.get_title().get_text().replace("\n", " ") == POPULAR
    assert len(points) == 2 * 4 * len(at_k.PRIORS)
    (large,) = [line for line in figure.axes[0].lines if line.get_markersize() == 10][
        :1
    ]
    assert [*large.get_xdata()] == [0.5]  # SL's own prior
    starts = {line.get_xdata()[0] for line in figure.axes[0].lines}
    assert len({start for start in starts if start < -0.4}) == 4  # side by side
    for other in (stored(noise=0.3), stored(best=0.0)):
        assert heading(verdicts(other)).endswith("?")


def test_a_weight_without_a_gradient_has_the_value_and_pulls_no_score_down():
    query = jnp.array([[1.0, 0.0], [0.6, 0.8]])
    item = jnp.array([[0.8, 0.6], [0.0, 1.0]])
    state = Thresholds(jnp.array([0.5, 1.1]), jnp.zeros((2, 0), jnp.int32))
    negatives = Dense(jnp.array([[0.5, -1.0], [2.0, 0.2]]), jnp.ones((2, 2), bool))
    positive = jnp.array([0.3, 1.5])

    def total(query, through):
        hyper = {"width": jnp.float32(0.7), "weight_gradient": jnp.float32(through)}
        about = Context(query, item, state=state)
        return jnp.sum(LOSSES["sl-at-k"](positive, negatives, hyper, about))

    values = [jax.value_and_grad(total)(query, through) for through in (1, 0.5, 0)]
    (whole, full), (half, part), (none, stopped) = values
    assert whole == pytest.approx(float(half))
    assert whole == pytest.approx(float(none))
    assert np.abs(full).max() > 0.01
    np.testing.assert_allclose(part, full / 2, rtol=1e-5)
    assert not np.asarray(stopped).any()


def test_from_made_pairs_to_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(at_k, "CHANGES", at_k.CHANGES | {"batch": 64})
    folder = tmp_path / "data" / "made"
    write_split(folder, np.random.default_rng(0))
    assert not folder.with_name("made" + SHIFTED).exists()
    options = StudyOptions(tmp_path / "out", str(folder), quick=True)
    records = at_k.run_at_k(options)
    about = load_stored(records)
    assert about.header["arms"] == [SL, AT_K, STOPPED, WEAKER]
    assert [*about.header["digests"]] == ["random"]
    assert about.header["split"] == "given"
    assert about.arrays["random_ndcg_20"].shape == (4, len(at_k.PRIORS), 98, 1)
    assert about.arrays["random_train_count_20"].shape == (4, len(at_k.PRIORS), 1)
    assert "width=" in about.content["chosen"]["random"][AT_K]["hyper"]
    # Chosen on validation, judged on test: without a prior as the runs themselves say.
    place = splits_of(STUDIES["at-k"], options, at_k.CHANGES, at_k.SWEEPS, both=False)
    split = place["random"]._replace(sweeps=at_k.sweeps_on(folder))
    chosen, none = split.chosen(), at_k.PRIORS.index(0.0)
    for a, (arm, cells) in enumerate(split.tested(chosen).items()):
        for cell, name in ((chosen[arm], "validation"), (cells[0], "ndcg_20")):
            said = read_json(split.folder(cell) / "metrics.json")["ndcg"]["20"]
            mean = about.arrays[f"random_{name}"][a, none].astype(float).mean()
            assert mean == pytest.approx(said, abs=1e-4)
    popular = about.arrays["random_train_count_20"][:, :, 0]
    assert (np.diff(popular, axis=1) > 0).all()  # by the prior
    _, _, _, page, *_ = report_study(STUDIES["at-k"], records, tmp_path / "out")
    assert "A quick run" in page.read_text()
