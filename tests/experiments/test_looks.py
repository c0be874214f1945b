"""A look ranks validation as serving with each prior would."""

import dataclasses

import numpy as np
import pytest

from experiments import looks
from experiments.serve import score, serve
from research.config import Config
from research.evaluate.metrics import summary
from research.prepare import prepare
from research.serving import Serving
from tests.world import made_fold

SMALL = Config(batch=64, epochs=2, history=5, dim=8, user_hidden=(8,), item_hidden=(8,))


@pytest.mark.parametrize("most", [None, 5])
def test_a_look_has_the_ndcg_of_lists_served_with_each_prior(most, monkeypatch):
    """All users are looked at, or as many as are asked for."""
    config = dataclasses.replace(
        SMALL, fit_on="train", evaluate_every=1, evaluate_prior="best"
    )
    run = prepare(config, made_fold(fit_on="train"))
    fold = run.task.fold
    draw = np.random.default_rng(0)
    users = draw.normal(0, 0.2, (len(fold.evaluated), 4)).astype(np.float32)
    items = draw.normal(0, 0.2, (fold.fitted.n_items, 4)).astype(np.float32)
    monkeypatch.setattr(looks, "MOST_USERS", most or len(users))
    found = looks.validation(run)(users, items)
    values = {prior: found[looks.column_of(prior)] for prior in looks.PRIORS}
    assert found["prior"] == max(values, key=values.get)
    assert found["ndcg@20"] == max(values.values())
    assert len(set(values.values())) > 3
    if most is None:
        for prior, value in values.items():
            scorer = serve(run, users, items, serving=Serving(prior))
            assert value == pytest.approx(summary(score(run, scorer))["ndcg"][20])
