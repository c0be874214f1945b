"""Other libraries' metrics of one input; runs in the environment that has them.

Nothing of this project is imported. The input holds scores [v, i], and seen and held
[v, i], which items are left out of the lists and which are held out; lists [v, 20] are
this project's, for RecTools, which ranks nothing itself. The others rank the scores.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # what TFRS is written for
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

K = 20
METRICS = ("recall", "precision", "ndcg", "mrr", "hit", "map")
Arrays = dict[str, np.ndarray]
Values = Iterator[tuple[str, str, float]]  # metric, call, value


def recbole(made: Arrays) -> Values:
    """Its collector ranks by torch.topk; users without a held-out item never occur."""
    import torch
    from recbole.config import Config
    from recbole.evaluator import Collector, Evaluator

    names = ["Recall", "Precision", "NDCG", "MRR", "Hit", "MAP"]
    settings = {"metrics": names, "topk": [K], "metric_decimal_place": 16}
    config = Config("BPR", "made", config_dict={**settings, "use_gpu": False})
    some = made["held"].any(axis=1)
    scores = np.where(made["seen"], np.float32(-np.inf), made["scores"])[some]
    collector = Collector(config)
    pairs = map(torch.tensor, np.nonzero(made["held"][some]))
    collector.eval_batch_collect(torch.tensor(scores), None, *pairs)
    result = Evaluator(config).evaluate(collector.get_data_struct())
    for metric, name in zip(METRICS, names):
        yield metric, name, float(result[f"{metric}@{K}"])


def rectools(made: Arrays) -> Values:
    """It takes lists, as a table."""
    import pandas as pd
    from rectools import Columns
    from rectools.metrics import MAP, MRR, NDCG, HitRate, Precision, Recall

    users, slots = made["lists"].shape
    lists = {
        Columns.User: np.repeat(np.arange(users), slots),
        Columns.Item: made["lists"].ravel(),
        Columns.Rank: np.tile(np.arange(1, slots + 1), users),
    }
    user, item = np.nonzero(made["held"])
    held = pd.DataFrame({Columns.User: user, Columns.Item: item})
    usual = Recall(K), Precision(K), NDCG(K), MRR(K), HitRate(K), MAP(K)
    calls = [(m, type(of).__name__, of) for m, of in zip(METRICS, usual)]
    calls += [
        ("ndcg", "NDCG, divide_by_achievable", NDCG(K, divide_by_achievable=True)),
        ("map", "MAP, divide_by_k", MAP(K, divide_by_k=True)),
    ]
    for name, call, metric in calls:
        yield name, call, float(metric.calc(pd.DataFrame(lists), held))


def cornac(made: Arrays) -> Values:
    """ranking_eval over a model that gives the scores."""
    from cornac.data import Dataset
    from cornac.eval_methods import ranking_eval
    from cornac.metrics import MAP, MRR, NDCG, HitRatio, Precision, Recall
    from cornac.models import Recommender

    class Scores(Recommender):
        def score(
            self, user_idx: int, item_idx: int | None = None
        ) -> np.ndarray | np.floating:
            row = made["scores"][user_idx]
            return row if item_idx is None else row[item_idx]

    users, items = made["scores"].shape
    ids = {n: n for n in range(users)}, {n: n for n in range(items)}

    def dataset(there: np.ndarray) -> Dataset:
        user, item = np.nonzero(there)
        return Dataset(users, items, *ids, (user, item, np.ones(len(user))))

    train, test = dataset(made["seen"]), dataset(made["held"])
    model = Scores("made")
    model.fit(train)
    usual = Recall(K), Precision(K), NDCG(K), MRR(), HitRatio(K), MAP()
    for name, metric in zip(METRICS, usual):
        (value,), _ = ranking_eval(model, [metric], train, test)
        yield name, type(metric).__name__, float(value)


def lenskit(made: Arrays) -> Values:
    """Its item lists take their best items by score; RunAnalysis averages."""
    from lenskit.data import ItemList, ItemListCollection
    from lenskit.metrics import RunAnalysis
    from lenskit.metrics import ranking as of

    every, lists, test = (ItemListCollection.empty(["user_id"]) for _ in range(3))
    for user, held in enumerate(made["held"]):
        unseen = np.flatnonzero(~made["seen"][user])
        scored = ItemList(item_ids=unseen, scores=made["scores"][user, unseen])
        every.add(scored.top_n(K), user_id=user)
        if held.any():
            lists.add(scored.top_n(K), user_id=user)
            test.add(ItemList(item_ids=np.flatnonzero(held)), user_id=user)
    names = ("Recall", "Precision", "NDCG", "RecipRank", "Hit", "AveragePrecision")
    calls = [(m, n, getattr(of, n)(K), lists) for m, n in zip(METRICS, names)]
    shifted = of.NDCG(K, weight=of.LogRankWeight(offset=1))
    calls += [
        ("recall", "Recall without a cut-off, lists of 20", of.Recall(), lists),
        ("ndcg", "NDCG, LogRankWeight(offset=1)", shifted, lists),
        ("hit", "Hit, lists of all users", of.Hit(K), every),
    ]
    for name, call, metric, given in calls:
        summary = RunAnalysis(metric).measure(given, test).list_summary()
        yield name, call, float(summary["mean"].iloc[0])


def implicit(made: Arrays) -> Values:
    """ALS whose item factors are the identity, so that its scores are the input's."""
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.evaluation import ranking_metrics_at_k
    from scipy.sparse import csr_matrix

    items = made["scores"].shape[1]
    model = AlternatingLeastSquares(factors=items, num_threads=1)
    model.user_factors = made["scores"]
    model.item_factors = np.eye(items, dtype=np.float32)
    seen, held = (csr_matrix(made[n].astype(np.float32)) for n in ("seen", "held"))
    values = ranking_metrics_at_k(model, seen, held, K, False, 1)
    for name in ("precision", "ndcg", "map"):
        yield name, f"ranking_metrics_at_k: {name}", float(values[name])


def ir_measures(made: Arrays) -> Values:
    """A run of all unseen items, by trec_eval but for RR."""
    from ir_measures import AP, RR, P, R, Success, calc_aggregate, nDCG

    names = [f"{n:03d}" for n in range(made["scores"].shape[1])]
    run, held = {}, {}
    for user, row in enumerate(made["scores"].tolist()):
        unseen = np.flatnonzero(~made["seen"][user])
        run[str(user)] = {names[item]: row[item] for item in unseen}
        if made["held"][user].any():
            wanted = np.flatnonzero(made["held"][user])
            held[str(user)] = {names[item]: 1 for item in wanted}
    measures = [measure @ K for measure in (R, P, nDCG, RR, Success, AP)]
    values = calc_aggregate(measures, held, run)
    for name, measure in zip(METRICS, measures):
        yield name, str(measure), float(values[measure])


def tfrs(made: Arrays) -> Values:
    """FactorizedTopK of (user, held-out item) pairs; items are rows of the identity."""
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    items = np.eye(made["scores"].shape[1], dtype=np.float32)
    # It removes no seen items; finite, as 0 times infinity is no number.
    scores = np.where(made["seen"], np.float32(-1e6), made["scores"])
    candidates = tf.data.Dataset.from_tensor_slices(items).batch(64)
    user, item = np.nonzero(made["held"])
    share = 1 / made["held"].sum(axis=1)[user]
    for call, weight in (
        ("FactorizedTopK", None),
        ("FactorizedTopK, sample_weight = 1 / held-out items", share),
    ):
        metric = tfrs.metrics.FactorizedTopK(candidates=candidates, ks=[K])
        metric.update_state(scores[user], items[item], sample_weight=weight)
        (value,) = metric.result()
        yield "recall", call, float(value)


# By the name in the table: the package whose version is shown, and the adapter.
LIBRARIES: dict[str, tuple[str, Callable[[Arrays], Values]]] = {
    "RecBole": ("recbole", recbole),
    "RecTools": ("rectools", rectools),
    "Cornac": ("cornac", cornac),
    "LensKit": ("lenskit", lenskit),
    "implicit": ("implicit", implicit),
    "ir-measures": ("ir-measures", ir_measures),
    "TFRS": ("tensorflow-recommenders", tfrs),
}


def main(made_path: str, out: str) -> None:
    """Writes each library's values as JSON, or why it failed."""
    made = dict(np.load(made_path))
    answers = {}
    for name, (package, adapter) in LIBRARIES.items():
        try:
            said = {"version": version(package), "values": list(adapter(made))}
        except Exception as error:  # the others are compared all the same
            said = {"failed": f"{type(error).__name__}: {error}"[:200]}
        answers[name] = said
    Path(out).write_text(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
