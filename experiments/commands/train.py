"""The command train: one run, on one device, on many, or by several processes."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from numpy import ndarray

from experiments.arms import arm
from experiments.commands.export import check_export, export
from experiments.commands.flags import RULE, FlagConfig, plain
from experiments.engine.processes import Place, check_place, join
from experiments.grid import Grid, Tuning
from experiments.loaded import (
    AUTO,
    Start,
    chosen_split,
    digest_of,
    fold_of,
    prepared_run,
    prior_by_rule,
    start_of,
)
from experiments.output.code import code_of
from experiments.output.folders import (
    FAILED,
    FINISHED,
    check_writable,
    checked,
    run_id,
    serving_folder,
    writable,
)
from experiments.output.index import write_index
from experiments.output.locks import alone
from experiments.output.plan import Run, check_devices, label, locate, plan
from experiments.output.seals import read_metrics, servings_in
from experiments.resolve import Cell, key_of
from research.config import Config
from research.data import check_dataset, is_own, name_of
from research.evaluate.metrics import CUTOFF
from research.notices import say
from research.prepare import Prepared, check_config, is_towers
from research.saved.files import holds, load_model
from research.saved.model import check_saveable
from research.serving import AS_TRAINED, Serving, check_rule
from research.splits import SplitRules
from research.types import InputError

UNCLICKED = "cold_slots_0"  # the metric: places with items of no training click
FIRST_METRICS = (("ndcg", 20), ("recall", 20), ("recall", 100), ("coverage", 20))
MANY = 0.05  # of the places
# A trial for the number of epochs alone, with lists as trained.
LENGTH = Grid(name="train", question="", minutes="", tuning=Tuning(("train",)))


@dataclass(frozen=True)
class Train:
    """Train one model. Any field of the config is a flag.

    --arm NAME starts from a named arm; flags change it from there.
    """

    config: tyro.conf.OmitArgPrefixes[FlagConfig]  # type: ignore[valid-type]
    """The settings of the run."""
    data_dir: str | None = None
    """Folder that holds the GroupLens folders or zips; it must have the data set."""
    out: Path = Path("out")
    """Output folder."""
    export: Path | None = None
    """Folder to write the user and item vectors to, with the data set's own ids."""
    save: Path | None = None
    """Folder to save the model to (docs/models.md)."""
    start_from: Path | None = None
    """Folder of a saved model to continue from (docs/models.md)."""
    show: bool = False
    """Print what the run would be: config, shapes, sizes, time. Nothing is trained."""
    devices: int = 1
    """Devices that share each batch; the run's id does not depend on them."""

    processes: int = 1
    """Processes that train the run together, each given this same command."""
    process_id: int = 0
    """Which of the processes this is, from 0; 0 writes the files."""
    coordinator: str | None = None
    """HOST:PORT, an address of process 0, where the processes meet."""

    @classmethod
    def from_words(cls, words: list[str]) -> "tuple[Train, list[str]]":
        """The defaults of the flags, and the words without --arm NAME.

        The defaults are the named arm's config, or with --start-from DIR that of the
        model there.
        """
        config, words = _take_arm(words)
        values = {f.name: getattr(config, f.name) for f in dataclasses.fields(Config)}
        flags = {word.split("=")[0] for word in words}
        if "--split" not in flags:
            dataset = _value_of("--dataset", words) or config.dataset
            values["split"] = AUTO if is_own(dataset) else config.split
        if config.epochs == Config.epochs and "--start-from" not in flags:
            values["epochs"] = AUTO
        return cls(FlagConfig(**values)), words

    def __call__(self) -> int:
        """Trains, evaluates and prints the metrics at 20."""
        config = self._chosen()
        check_config(config)
        place = Place(self.processes, self.process_id, self.coordinator)
        check_place(place)
        if self.export is not None:
            check_export(config, self.export)
        if self.save is not None:
            check_writable(self.save, "model")
        out = checked(self.out)
        start = start_of(self.start_from)
        cell = Cell("train", {}, config.seed, config)
        if self.show:
            from experiments.commands.show import show

            return show([cell], "train", out, self.data_dir, start)
        asked: Any = self.config
        if asked.epochs == AUTO and _has_length(config):
            cell = self._with_length(cell, out)
        (cell,), runs, total = plan([cell], "train", out, self.data_dir, start)
        digest = digest_of(cell.config, self.data_dir)
        identity, where = locate(cell, "train", out, digest, start)
        runs = self._with_saving(runs, cell, where, start)
        left = bool(runs) and not _has_vectors(runs[0])
        with self._devices(place, cell, identity, left) as devices:
            check_devices(cell.config, devices)
            if place.process_id:
                return self._follow(cell, devices, start)
            runs = [run._replace(devices=devices) for run in runs]
            if left and is_towers(cell.config):
                # Reads all of its files, so that a wrong one ends the command here.
                _ = prepared_run(runs[0].config, self.data_dir, start).world
            writable(out)
            from experiments.finish import announce, finish

            announce("train", total, len(runs))
            failed = finish(runs, self.data_dir, jobs=1)
            with alone(out):
                write_index(out)
        _, where = locate(cell, "train", out, digest, start)
        folder = serving_folder(where, cell.config)
        if not failed:
            _print_metrics(folder, cell.config)
            if cell.config.fit_on == "train" and is_towers(cell.config):
                self._print_calibration(cell, where, start)
        print(f"files in {folder}")
        if not failed and self.export is not None:
            held = fold_of(cell.config, self.data_dir)
            written = export(cell.config, held, where, digest, self.export)
            print(*(f"wrote {name}" for name in written), sep="\n")
        if not failed and self.save is not None:
            print(f"model in {self.save}")
        return FAILED if failed else FINISHED

    def _with_length(self, cell: Cell, out: Path) -> Cell:
        """The cell with the number of epochs that validation chose, by one trial.

        Several devices or processes train as many as the config has. What is wrong
        with the run is raised before the trial.
        """
        if self.processes > 1:
            return cell
        check_devices(cell.config, self.devices)
        if self.devices > 1:
            return cell
        from experiments.finish import finish
        from experiments.tuner import choose, notes

        _ = prepared_run(cell.config, self.data_dir).world
        writable(out)
        key = key_of(cell)
        choice = choose(
            LENGTH, [cell], 1, out, self.data_dir,
            lambda runs: finish(runs, self.data_dir, jobs=1),
        )[key]  # fmt: skip
        epochs = choice.changes["epochs"]
        most = choice.most_epochs
        say(f"train: {epochs} of at most {most} epochs are best on validation")
        for line in notes({key: choice}, [cell]):
            say(line)
        return cell._replace(config=dataclasses.replace(cell.config, epochs=epochs))

    def _print_calibration(self, cell: Cell, where: Path, start: Start | None) -> None:
        """Prints how to serve, by the validation clicks (research/calibration.py)."""
        from experiments.runs import VECTORS
        from research.files import read_arrays

        run = prepared_run(cell.config, self.data_dir, start)
        arrays = read_arrays(where / VECTORS)
        temperature = float(arrays.get("temperature", cell.config.temperature))
        model = arrays["users"], arrays["items"], temperature
        print(*_calibration_lines(run, *model), sep="\n")

    def _with_saving(
        self, runs: list[Run], cell: Cell, where: Path, start: Start | None
    ) -> list[Run]:
        """The runs to do, with the model to save: a finished run is trained again."""
        if self.save is None or is_saved(cell, where, self.save):
            return runs
        check_saveable(prepared_run(cell.config, self.data_dir, start))
        arms = runs[0].arms if runs else {}
        run = saving_run(cell, where, self.save)
        return [run._replace(start=start, arms={**run.arms, **arms})]

    def _chosen(self) -> Config:
        """The config with a split in place of auto, a number in place of the rule."""
        given: Any = self.config
        by_rule = given.prior == RULE
        if by_rule:
            check_rule(exposure=given.exposure, ips=given.ips)
        if by_rule:
            given = dataclasses.replace(given, prior=0.0)
        if given.epochs == AUTO:
            given = dataclasses.replace(given, epochs=Config.epochs)
        config = plain(given)
        check_dataset(config.dataset)
        if config.split == AUTO:  # what needs no data is refused before any is read
            alone = {name: getattr(Config, name) for name in SplitRules._fields}
            check_config(dataclasses.replace(config, split=Config.split, **alone))
        split = chosen_split(
            config.split, config.dataset, self.data_dir, config.columns
        )
        config = dataclasses.replace(config, split=split)
        if not by_rule:
            return config
        check_config(config)
        return dataclasses.replace(config, prior=prior_by_rule(config, self.data_dir))

    @contextlib.contextmanager
    def _devices(
        self, place: Place, cell: Cell, identity: str, left: bool
    ) -> Iterator[int]:
        """How many devices train, over all processes; 1 where nothing is to be done."""
        if place.processes == 1:
            yield self.devices
            return
        if self.devices != 1:
            raise InputError(
                f"devices is {self.devices}: with --processes all devices take part"
            )
        if not is_towers(cell.config):
            raise InputError(
                f"processes is {place.processes}: model {cell.config.model} uses one"
            )
        if place.process_id == 0:
            check_writable(self.out, "output")
        import jax

        common = {"run": identity, "jax": jax.__version__}
        with join(place, common, left) as go:
            yield jax.device_count() if go else 1

    def _follow(self, cell: Cell, devices: int, start: Start | None) -> int:
        """Trains as process 0 does, into a temporary folder."""
        if devices == 1:
            print("process 0 has nothing left to train")
            return FINISHED
        from experiments.finish import finish

        with tempfile.TemporaryDirectory() as scratch:
            name = f"process {self.process_id}: {label(cell)}"
            folder = Path(scratch) / "runs" / name_of(cell.config.dataset) / "train"
            folder /= run_id(cell.config, digest_of(cell.config, self.data_dir))
            run = Run(cell.config, (AS_TRAINED,), folder, name, devices, start=start)
            return FAILED if finish([run], self.data_dir, jobs=1) else FINISHED


def is_saved(cell: Cell, where: Path, folder: Path) -> bool:
    """Whether a folder holds the model of a cell's run, as it is served."""
    base, serving = AS_TRAINED.put_into(cell.config), Serving.of(cell.config)
    return holds(folder, where.name, code_of(dataclasses.asdict(base)), serving)


def saving_run(cell: Cell, where: Path, folder: Path) -> Run:
    """The run of a prepared cell that saves its model, trained again if finished.

    Its folder is then made anew: with the lists as trained, too, and with those of
    other servings that a grid asked for.
    """
    base, serving = AS_TRAINED.put_into(cell.config), Serving.of(cell.config)
    there = servings_in(where)
    servings = tuple(dict.fromkeys((serving, AS_TRAINED, *there)))
    arms = {serving: cell.arm, **there}
    return Run(base, servings, where, label(cell), arms=arms, save=folder)


def _has_length(config: Config) -> bool:
    """Whether a run has a length to choose, and does not choose it itself."""
    return is_towers(config) and not config.evaluate_every


def _has_vectors(run: Run) -> bool:
    """Whether the run was trained, and has only to be evaluated."""
    from experiments.runs import stored_vectors

    return stored_vectors(run) is not None


def _calibration_lines(
    run: Prepared, users: ndarray, items: ndarray, temperature: float
) -> Iterator[str]:
    """Lines on fits to the validation clicks, or on why there are none."""
    from experiments.serve import calibrated, metric_means, serve
    from research.calibration import PLACES
    from research.exposure import IMPRESSIONS

    model = users, items, temperature
    as_asked = Serving.of(run.config)
    k = min(CUTOFF, run.fold.fitted.n_items)

    def recall(serving: Serving) -> str:
        served = serving._replace(min_clicks=as_asked.min_clicks)
        scorer = serve(run, *model, served)
        return f"{metric_means(run, scorer, ['recall'], k)[0]:.4f}"

    as_served = recall(as_asked)
    unclicked = int((run.task.fold.fitted.item_counts == 0).sum())
    for places in (None, PLACES) if len(items) > PLACES else (None,):
        try:
            fitted = calibrated(
                run, *model, places=places, min_clicks=as_asked.min_clicks
            )
        except InputError as error:
            yield f"not calibrated: {error}"
            return
        for_clicks = fitted.by_rule(1.0)
        where = f"among the first {places} places" if places else "on validation"
        line = f"calibrated {where}: scale {fitted.scale:.3g}, share of log q "
        line += f"{fitted.share:.3g}; for further clicks serve with --prior "
        line += f"{for_clicks.prior:.3g} (recall@{k} on validation "
        line += f"{recall(for_clicks)}, as it is {as_served})"
        if IMPRESSIONS in run.task.fold.fitted.items.columns:
            prior, exposure, _ = fitted.by_impressions()
            line += f"; by clicks per impression with --prior {prior:.3g} "
            line += f"--exposure {exposure:.3g}"
        yield line
        if for_clicks.prior < 0 and unclicked and not as_asked.min_clicks:
            yield (
                f"a prior below 0 raises {unclicked} items without a training click: "
                "--min-clicks 1 leaves them out, of this fit, too"
            )
            unclicked = 0  # say it once


def _print_metrics(folder: Path, config: Config) -> None:
    """Prints a metric a line, those that decide first, and warns of a prior below 0."""
    metrics = read_metrics(folder)
    rest = [(name, CUTOFF) for name in metrics if (name, CUTOFF) not in FIRST_METRICS]
    for name, k in (*FIRST_METRICS, *rest):
        value = metrics[name].get(str(k))
        print(f"{name}@{k} {'none' if value is None else f'{value:.4f}'}")
    unclicked = metrics[UNCLICKED].get(str(CUTOFF)) or 0.0
    if config.prior < 0 and unclicked > MANY:
        print(
            f"warning: items without a training click have {100 * unclicked:.0f} % of "
            f"the first {CUTOFF} places, raised by prior {config.prior:g}: "
            "--min-clicks 1 leaves them out"
        )


def _take_arm(words: list[str]) -> tuple[Config, list[str]]:
    """The config that flags start from (--arm, --start-from), and the other words."""
    flags = [word.partition("=")[0] for word in words]
    for flag in ("--arm", "--start-from"):
        if flags.count(flag) > 1:
            raise InputError(f"{flag} is given twice: a run starts from one")
    words = [part for word in words for part in _split_arm(word)]
    model = _value_of("--start-from", words)
    if "--arm" not in words:
        return load_model(model).config if model else Config(), words
    if model:
        raise InputError("--arm with --start-from: the model has a config of its own")
    at = words.index("--arm")
    if at + 1 == len(words) or words[at + 1].startswith("--"):
        raise InputError("--arm needs the name of an arm")
    return arm(words[at + 1]), words[:at] + words[at + 2 :]


def _value_of(flag: str, words: list[str]) -> str | None:
    """The word behind a flag, or behind its equals sign."""
    for word, after in zip(words, [*words, None][1:], strict=True):
        if word == flag:
            return after
        if word.startswith(f"{flag}="):
            return word.removeprefix(f"{flag}=")
    return None


def _split_arm(word: str) -> list[str]:
    return word.split("=", 1) if word.startswith("--arm=") else [word]
