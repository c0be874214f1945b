"""One run, from its config to its files: the only place that joins the stages."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.loaded import digest_of, prepared_run
from experiments.looks import validation
from experiments.output.checkpoints import checkpoint_of, discard
from experiments.output.code import code_of
from experiments.output.environment import environment
from experiments.output.folders import serving_folder
from experiments.output.plan import Run
from experiments.output.seals import clear, sha256_of, write_metrics
from experiments.serve import rank, serve
from research.baselines import BASELINES, option_values
from research.data import name_of
from research.evaluate.metrics import CUTOFF, summary
from research.evaluate.record import evaluate
from research.evaluate.top_k import Scorer
from research.files import read_arrays, write_arrays, write_csv, write_json
from research.prepare import Prepared, is_towers
from research.report.records import RECORDS_VERSION, pack
from research.saved.files import save_model
from research.saved.model import saved_model
from research.serving import AS_TRAINED, Serving
from research.train.loop import NotFinite, Trained, train_together
from research.types import InputError

Progress = Callable[[str], None]
HISTORY, VECTORS = "history.csv", "vectors.npz"
MADE_BY = "made_by"  # among the arrays of the vectors


def baseline(run: Prepared) -> Scorer:
    """The scorer of a config's baseline, fitted."""
    config = run.config
    values = option_values(config.model)
    scorer: Scorer = BASELINES.choose(config.model).fit(run.fold, values, config.seed)
    return scorer


def execute(
    run: Run,
    data_dir: str | None = None,
    progress: Progress = lambda line: None,
    place: str = "in process",
    done: Trained | NotFinite | None = None,
) -> str:
    """Trains a run, unless its vectors exist, evaluates it as served, writes files.

    Returns:
      A short line on the result, or on why the run failed (also in failed.json).
    """
    clock, config, folder = time.perf_counter(), run.config, run.folder
    prepared = prepared_run(config, data_dir, run.start)
    digest = digest_of(config, data_dir)
    code = code_of(dataclasses.asdict(config))
    clear(folder)
    try:
        scorer_of, seconds = _scorers(run, prepared, digest, progress, done)
    except NotFinite as error:
        discard(folder)
        write_json(folder / "failed.json", {"reason": str(error)})
        return f"failed: {error}"
    discard(folder)
    line = ""
    # AS_TRAINED comes last, so that the line has its recall
    for serving in sorted(run.servings, key=AS_TRAINED.__eq__):
        served = serving.put_into(config)
        scorer, fold = scorer_of(serving), prepared.task.fold
        lists = rank(prepared, scorer)
        record = evaluate(fold, lists, scorer=scorer)
        where = serving_folder(folder, served)
        clear(where)
        write_arrays(where / "per_user.npz", pack(record))
        about = {"arm": run.arms.get(serving, ""), **dataclasses.asdict(served)}
        write_json(where / "config.json", about)
        about = {**environment(digest, place), "devices": run.devices, **seconds}
        about["seconds"] = time.perf_counter() - clock
        if run.start is not None:
            about["started_from"] = run.start.digest
        write_json(where / "env.json", about)
        numbers = summary(record)
        line = f"R@{CUTOFF} {numbers['recall'][CUTOFF]:.4f}"
        if len(run.servings) > 1:
            line += " as trained"
        write_metrics(where, _json_numbers(numbers), code, folder)
    (folder / "failed.json").unlink(missing_ok=True)
    return line


def _scorers(
    run: Run,
    prepared: Prepared,
    digest: str,
    progress: Progress,
    done: Trained | NotFinite | None,
) -> tuple[Callable[[Serving], Scorer], dict[str, float]]:
    """A function serving -> scorer, and the seconds of training, if there was any."""
    config, folder = prepared.config, run.folder
    if not is_towers(config):
        scorer = baseline(prepared)
        return lambda serving: scorer, {}
    stored = stored_vectors(run)
    if stored is not None:
        return lambda serving: _serve_stored(prepared, serving, stored), {}

    def on_epoch(number: int, epoch: int, row: dict[str, float]) -> None:
        progress(f"epoch {epoch}/{config.epochs} loss {row['loss']:.3f}")

    if done is None:
        validate = validation(prepared) if config.evaluate_every else None
        kept = checkpoint_of(run, digest)
        (done,) = train_together([prepared], on_epoch, validate, run.devices, kept)
    if isinstance(done, NotFinite):
        raise done
    if run.save is not None:
        _save(run, prepared, done, digest, run.save)
    # A finished run, trained again for its model, stays until here.
    clear(folder, anew=True)
    # The vectors mark the training as done, so they are written last.
    write_csv(folder / HISTORY, done.history)
    arrays = {
        "users": done.user_vectors,
        "items": done.item_vectors,
        "temperature": np.array(done.temperature),
        MADE_BY: np.array(_made_by(run)),
    }
    write_arrays(folder / VECTORS, arrays)
    seconds = {"compile_seconds": done.compile_seconds, "run_seconds": done.seconds}
    return lambda serving: _serve_stored(prepared, serving, arrays), seconds


def stored_vectors(run: Run) -> dict[str, np.ndarray] | None:
    """The vectors in a run's folder, if this code made them and they can be read.

    None where the run has to be trained, as has one with a model to save.
    """
    path = run.folder / VECTORS
    if run.save is not None or not path.is_file():
        return None
    try:
        arrays = read_arrays(path)
    except InputError:
        return None
    return arrays if str(arrays.pop(MADE_BY, "")) == _made_by(run) else None


def _made_by(run: Run) -> str:
    """The code of a run and the digest of its curve, kept with its vectors."""
    curve = run.folder / HISTORY
    code = code_of(dataclasses.asdict(run.config))
    return f"{code} {sha256_of(curve)}" if curve.is_file() else ""


def _save(
    run: Run, prepared: Prepared, done: Trained, digest: str, folder: Path
) -> None:
    """Saves the run's model, with the serving fields that the run asks for."""
    about = {
        "dataset": name_of(run.config.dataset),
        "data_digest": digest,
        "run": run.folder.name,
        "code": code_of(dataclasses.asdict(run.config)),
        "results_version": RECORDS_VERSION,
    }
    model = saved_model(prepared, done, about)
    config = run.servings[0].put_into(model.config)
    save_model(dataclasses.replace(model, config=config), folder)


def _serve_stored(
    run: Prepared, serving: Serving, arrays: Mapping[str, np.ndarray]
) -> Scorer:
    learned = arrays.get("temperature")
    temperature = None if learned is None else float(learned)
    return serve(run, arrays["users"], arrays["items"], temperature, serving)


def _json_numbers(numbers: dict[str, dict[int, float]]) -> dict[str, dict[int, Any]]:
    """The numbers for JSON, which has no NaN: a value that no user counts is null."""
    return {
        metric: {k: None if math.isnan(v) else v for k, v in values.items()}
        for metric, values in numbers.items()
    }
