"""The work in TensorFlow Recommenders, trained and evaluated as its tutorials advise.

A tfrs.Model with the Retrieval task, which gets sampling probabilities and removes
accidental hits, trained by Model.fit on a pipeline of batches in memory (what
batch().cache() leaves after an epoch). Its rows reach the optimiser as IndexedSlices:
Adam treats them as dense, Adagrad touches only those rows. It reads the file of the
work alone (experiments/bench/work.py lists its arrays). TFRS needs the older Keras,
which an environment variable selects (PEER_VARIABLES in experiments/bench/setting.py).
"""

import time
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from experiments.bench.protocol import COMPARED, Answers, portion_slices, serve

K = 100


class TwoTower(tfrs.Model):
    """Both towers and the task."""

    def __init__(self, work: dict[str, np.ndarray], temperature: float) -> None:
        super().__init__()
        keras = tf.keras
        self.user_table = _table(work["user_table"])
        self.item_table = _table(work["item_table"])
        # The last row stands for no item, and doesn't count in the mean.
        self.clicks = _table(np.pad(work["history_table"], [(0, 1), (0, 0)]))
        self.none = len(work["history_table"])
        self.user_tower, self.item_tower = _mlp(work, "user"), _mlp(work, "item")
        self.share = tf.constant(np.exp(work["log_q"]))
        self.task = tfrs.tasks.Retrieval(
            loss=keras.losses.CategoricalCrossentropy(
                from_logits=True, reduction=keras.losses.Reduction.SUM_OVER_BATCH_SIZE
            ),
            temperature=temperature,
            remove_accidental_hits=True,
        )

    def compute_loss(
        self, inputs: dict[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """Mean loss of a batch."""
        item = inputs["item"]
        there = tf.cast(inputs["history"] != self.none, tf.float32)[:, :, None]
        total = tf.reduce_sum(self.clicks(inputs["history"]) * there, axis=1)
        mean = tf.math.divide_no_nan(total, tf.reduce_sum(there, axis=1))
        features = tf.concat([mean, self.user_table(inputs["user"])], axis=1)
        row = self.item_table(item)
        return self.task(
            tf.math.l2_normalize(self.user_tower(features), axis=1),
            tf.math.l2_normalize(self.item_tower(row) + row, axis=1),
            candidate_sampling_probability=tf.gather(self.share, item),
            candidate_ids=item,
            compute_metrics=False,
        )


class _Clock(tf.keras.callbacks.Callback):
    """Times an epoch alone, without what fit does before it and after."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds = time.perf_counter() - self._start


def train_steps(request: dict[str, Any]) -> Answers:
    """Steps of training on the work, a portion at a time."""
    work = dict(np.load(request["work"]))
    model = TwoTower(work, float(work["temperature"]))
    model.compile(optimizer=_optimiser(request.get("sparse", False)))
    order, steps = work[f"batches_{request['batch']}"], request["steps"]
    clock, losses = time.perf_counter(), []
    for index in order[:COMPARED]:
        portion = _pipeline(work, index[None])
        losses += model.fit(portion, verbose=0).history["loss"]
        if len(losses) == 1:
            first = time.perf_counter() - clock
    model.fit(_pipeline(work, order[:steps]), verbose=0)
    yield {
        "compile_seconds": first,
        "losses": losses,
        "versions": {
            "tensorflow": tf.__version__,
            "tensorflow-recommenders": tfrs.__version__,
        },
    }
    for part in portion_slices(len(order), steps):
        portion, timer = _pipeline(work, order[part]), _Clock()
        model.fit(portion, verbose=0, callbacks=[timer])
        yield {"seconds": timer.seconds, "steps": len(order[part])}


def fits(request: dict[str, Any]) -> Answers:
    """A model built, compiled and fitted for each temperature in turn."""
    work = dict(np.load(request["work"]))
    batches = _pipeline(work, work[f"batches_{request['batch']}"])
    yield {}
    for temperature in request["temperatures"]:
        model = TwoTower(work, temperature)
        model.compile(optimizer=_optimiser(False))
        model.fit(batches, epochs=request["epochs"], verbose=0)
        yield {}


def rank(request: dict[str, Any]) -> Answers:
    """FactorizedTopK over all users: streaming, or over the layer BruteForce."""
    vectors = dict(np.load(request["work"]))
    candidates = tf.data.Dataset.from_tensor_slices(vectors["items"]).batch(128)
    if request["layer"] == "brute-force":
        layer = tfrs.layers.factorized_top_k.BruteForce(k=K)
        candidates = layer.index_from_dataset(candidates)
    metric = tfrs.metrics.FactorizedTopK(candidates=candidates)
    wanted = vectors["items"][vectors["held"]]
    queries = tf.data.Dataset.from_tensor_slices((vectors["users"], wanted))
    queries = queries.batch(4096).cache()

    @tf.function
    def update(users: tf.Tensor, items: tf.Tensor) -> None:
        metric.update_state(users, items)

    def once() -> float:
        clock = time.perf_counter()
        for users, items in queries:
            update(users, items)
        float(metric.result()[-1])
        return time.perf_counter() - clock

    once()
    yield {"compile_seconds": once()}
    while True:
        yield {"rank": once()}


def _pipeline(work: dict[str, np.ndarray], order: np.ndarray) -> tf.data.Dataset:
    batches = {name: work[name][order] for name in ("user", "item", "history")}
    return tf.data.Dataset.from_tensor_slices(batches).prefetch(tf.data.AUTOTUNE)


def _table(rows: np.ndarray) -> tf.keras.layers.Embedding:
    start = tf.keras.initializers.Constant(rows)
    return tf.keras.layers.Embedding(*rows.shape, embeddings_initializer=start)


def _mlp(work: dict[str, np.ndarray], tower: str) -> tf.keras.Sequential:
    layers = []
    for n, activation in enumerate(("relu", None)):
        kernel, bias = work[f"{tower}_{n}_kernel"], work[f"{tower}_{n}_bias"]
        layers.append(
            tf.keras.layers.Dense(
                kernel.shape[1],
                activation=activation,
                kernel_initializer=tf.keras.initializers.Constant(kernel),
                bias_initializer=tf.keras.initializers.Constant(bias),
            )
        )
    return tf.keras.Sequential(layers)


def _optimiser(sparse: bool) -> tf.keras.optimizers.Optimizer:
    if sparse:
        return tf.keras.optimizers.Adagrad(learning_rate=0.1)
    return tf.keras.optimizers.Adam(learning_rate=1e-3, epsilon=1e-8)


if __name__ == "__main__":
    serve({"train": train_steps, "fits": fits, "rank": rank})
