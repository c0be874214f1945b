"""Distances of trained models: their definitions, and verdicts that follow records."""

import numpy as np
import pytest
from scipy import special

from experiments.inputs import prepared_run
from experiments.runs import metric_means, rank, serve
from experiments.studies import STUDIES
from experiments.studies.faithful import (
    ESTIMATORS,
    Trained,
    _distances,
    _trained,
    divergence,
    overlap,
    verdicts,
)
from experiments.study import report_study
from research.config import Config
from research.files import write_arrays
from research.report.records import Stored, save_stored, study_header
from tests.experiments.made import write_made_100k


def trained(rng):
    p = special.softmax(rng.normal(size=(5, 30)), axis=1)
    lists = np.argsort(-p, axis=1)[:, :20]
    return p, Trained(np.log(p), lists, np.zeros(5))


def test_distances_are_their_definitions():
    rng = np.random.default_rng(0)
    (p, one), (q, other) = trained(rng), trained(rng)
    by_scipy = special.rel_entr(p, q).sum(axis=1)
    np.testing.assert_allclose(divergence(one, other), by_scipy)
    np.testing.assert_allclose(divergence(one, one), 0, atol=1e-12)
    both = [len(set(a) & set(b)) for a, b in zip(one.lists, other.lists, strict=True)]
    np.testing.assert_allclose(overlap(one, other), np.array(both) / 20)
    assert (overlap(one, one) == 1).all()


def test_a_model_is_judged_by_each_of_the_other_seeds():
    """What it leaves out of theirs counts, not what it adds."""
    rng = np.random.default_rng(2)
    (q, model), *others = [trained(rng) for _ in range(3)]
    found = _distances(
        model._replace(recall=np.arange(5.0)), [one for _, one in others]
    )
    by_scipy = [special.rel_entr(p, q).sum(axis=1) for p, _ in others]
    np.testing.assert_allclose(found["divergence"], np.mean(by_scipy, axis=0))
    shared = [overlap(model, one) for _, one in others]
    np.testing.assert_allclose(found["overlap"], np.mean(shared, axis=0))
    assert found["recall"].tolist() == [0, 1, 2, 3, 4]


def test_a_models_distribution_is_that_of_its_temperature(tmp_path):
    data_dir = str(write_made_100k(tmp_path / "made"))
    config = Config(temperature=0.25)
    run, draw = prepared_run(config, data_dir), np.random.default_rng(0)
    sizes = len(run.fold.evaluated), run.fold.fitted.n_items
    users, items = (draw.normal(size=(n, 4)).astype(np.float32) for n in sizes)
    write_arrays(tmp_path / "vectors.npz", {"users": users, "items": items})
    found = _trained(config, tmp_path, data_dir)
    expected = special.log_softmax(4.0 * users @ items.T, axis=1)
    np.testing.assert_allclose(found.log_p, expected, atol=1e-4)
    scorer = serve(run, users, items)
    assert np.array_equal(found.lists, rank(run, scorer)[:, :20])
    assert metric_means(run, scorer, ["recall"]) == pytest.approx(found.recall.mean())


def stored(apart=1.0, at_3=1.0):
    """Divergences of 1 nat, times ``apart`` for all but logq from n = 63 on."""
    rng = np.random.default_rng(1)
    shape = (len(ESTIMATORS), 3, 3, 40)
    divergences = 1 + 0.01 * rng.normal(size=shape)
    divergences[1:, 1:] *= apart
    divergences[1:, 0] *= at_3
    full = 0.2 + 0.01 * rng.normal(size=(3, 40))
    arrays = {
        "sizes": np.array([3, 63, 255]),
        "bias": np.ones((len(ESTIMATORS), 3)),
        **{name: divergences for name in ("divergence", "overlap", "recall")},
        **{f"full_{name}": full for name in ("divergence", "overlap", "recall")},
    }
    header = study_header("faithful", "made", False)
    return Stored({**header, "forms": list(ESTIMATORS)}, {}, arrays)


@pytest.mark.parametrize(("apart", "verdict"), [(1.0, "holds"), (1.3, "fails")])
def test_verdicts_follow_the_records(apart, verdict):
    found = {row[0]: row[2] for row in verdicts(stored(apart))}
    equal = [v for text, v in found.items() if "is as far as" in text]
    assert equal == [verdict] * 8
    assert found["n = 63: leave-own-out is not nearer than logq"] == "holds"
    assert found["n = 3: some estimator is not as far as logq"] == "fails"


def test_a_nearer_form_and_one_apart_are_seen():
    found = {row[0]: row[2] for row in verdicts(stored(0.7, at_3=1.5))}
    assert found["n = 63: leave-own-out is not nearer than logq"] == "fails"
    assert found["n = 3: some estimator is not as far as logq"] == "holds"


@pytest.mark.parametrize(
    ("less", "verdict"), [(0.0, "holds"), (0.03, "fails"), (0.01, "undecided")]
)
def test_recall_at_few_negatives_is_compared_with_importance(less, verdict):
    records = stored()
    recall = 0.2 + 0.01 * np.random.default_rng(2).normal(size=(5, 3, 3, 40))
    recall[list(ESTIMATORS).index("leave-own-out"), 0] -= less
    found = verdicts(Stored(records.header, {}, {**records.arrays, "recall": recall}))
    (row,) = (row for row in found if row[0].startswith("n = 3: recall@20"))
    assert row[2] == verdict


def test_the_report_is_made_from_the_file_of_records_alone(tmp_path):
    records = stored()
    path = save_stored(tmp_path / "f.npz", records.header, records.arrays)
    names = {path.name for path in report_study(STUDIES["faithful"], path, tmp_path)}
    ends = {"faithful.csv", "faithful.md", "faithful-bias.png", "faithful-bias.svg"}
    assert ends <= names
