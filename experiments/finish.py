"""Finishing runs under a display: of a study, or of a grid with all its files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from experiments.collect import collect, gathered, report
from experiments.commands.preconditions import most_workers, open_files
from experiments.engine import EngineOptions
from experiments.engine.display import Display, beside_committed, display, print_recall
from experiments.engine.local import Finished, RunStatus, run_here, run_in_workers
from experiments.grid import Grid
from experiments.loaded import digest_of, fold_of
from experiments.output.checkpoints import checkpoint_interval
from experiments.output.folders import id_of, writable
from experiments.output.index import write_index
from experiments.output.locks import Claims, alone
from experiments.output.plan import Run, locate, plan, still_due
from experiments.output.seals import why_unfinished
from experiments.output.whole import of_common_seeds
from experiments.resolve import Cell, Key
from experiments.study import StudyOptions
from experiments.tuner import Choice
from research.compiler import cores
from research.config import Config
from research.notices import say
from research.report.pages import read_table
from research.types import InputError

PER_CORE = 4  # most workers per core, as each holds the data and its own programs
AT_ONCE = 8  # runs at once on an accelerator; a guess, not measured


def announce(grid: str, runs: int, to_do: int) -> None:
    """Says how many runs there are, and how many of them are still to be done."""
    if to_do:
        noun = "run" if runs == 1 else "runs"
        print(f"{grid}: {runs} {noun}, {runs - to_do} finished already, {to_do} to do")
    else:
        all_runs = "the run is" if runs == 1 else f"all {runs} runs are"
        print(f"{grid}: {all_runs} finished already, nothing to train")


def finish(
    runs: Sequence[Run],
    data_dir: str | None,
    jobs: int | None,
    at_once: int | None = None,
) -> dict[str, str]:
    """Does the runs under a display; waits for those that another process is doing.

    Returns:
      Why runs failed, by their ids.

    Raises:
      InputError: an invalid interval of checkpoints.
    """
    import jax

    checkpoint_interval()  # refuses an invalid one before anything is trained
    workers = len(cores()) if jobs is None else jobs
    if workers > (most := PER_CORE * len(cores())):
        say(f"jobs is {jobs}: {most} workers, at most {PER_CORE} per core")
        workers = most
    if workers > (most := most_workers()):
        say(f"{most} of {workers} workers, as only {open_files()} files may be open")
        workers = most
    on_cpu = jax.default_backend() == "cpu"
    at_once = at_once or (1 if on_cpu else AT_ONCE)
    if at_once > 1 or not on_cpu:
        workers = 1
    with display(len(runs)) as shown:

        def do(mine: list[Run], finished: Finished) -> None:
            if workers == 1:
                run_here(mine, data_dir, finished, shown.running, at_once)
            else:
                run_in_workers(mine, data_dir, finished, shown.running, workers)

        _share(runs, shown, do)
        return shown.failed


def _share(
    runs: Sequence[Run], shown: Display, do: Callable[[list[Run], Finished], None]
) -> None:
    """Does the runs that no other process is doing, then those that are left of theirs.

    A run that another process has finished is not done again; one that it gave up is.
    """
    left, announced = list(runs), False
    if not left:
        return
    with Claims(left[0].folder.parents[2]) as claims:

        def finished(status: RunStatus) -> None:
            claims.release(id_of(status.run.folder))
            shown.finished(status)

        while left:
            claimed = [run for run in left if claims.take(id_of(run.folder))]
            left = [run for run in left if run not in claimed]
            mine = []
            for run in claimed:
                if (due := still_due(run)) is None:
                    finished(RunStatus(run, "done by another process", False, 0.0))
                else:
                    mine.append(due)
            do(mine, finished)
            if left:
                if not announced:
                    what = "a run is" if len(left) == 1 else f"{len(left)} runs are"
                    say(f"{what} done by another process: waiting for it")
                announced = True
                claims.wait(id_of(left[0].folder))


def finish_study(
    cells: list[Cell], name: str, options: StudyOptions, what: str = "", lost: str = ""
) -> list[tuple[Cell, Path]]:
    """Does what is missing of a study's runs; returns its cells with their folders.

    Raises:
      InputError: another run failed.
    """
    cells, runs, total = plan(cells, name, options.out, options.data_dir)
    announce(f"{name}, {what}" if what else name, total, len(runs))
    failed = finish(runs, options.data_dir, options.jobs) if runs else {}
    done = []
    for cell in cells:
        digest = digest_of(cell.config, options.data_dir)
        folder = locate(cell, name, options.out, digest)[1]
        if not why_unfinished(folder, cell.config):
            done.append((cell, folder))
            continue
        reason = failed.get(id_of(folder), "no such run")
        if not (lost and reason.startswith(lost)):
            raise InputError(f"study {name}, {folder.name}: {reason}")
    return done


def finish_grid(
    grid: Grid,
    base: Config,
    cells: list[Cell],
    out: Path,
    data_dir: str | None,
    quick: bool,
    engine: EngineOptions,
    committed: Path | None,
    choices: Mapping[Key, Choice] = MappingProxyType({}),
) -> bool:
    """Trains what is missing of a grid, then writes its records, tables and figures.

    Returns:
      Whether every run is finished.
    """
    cells, runs, total = plan(cells, grid.name, out, data_dir)
    writable(out)
    announce(grid.name, total, len(runs))
    failed = do_runs(runs, data_dir, engine)
    with alone(out):
        complete = _write_grid(
            grid, base, cells, out, data_dir, quick, committed, failed, choices
        )
    return complete and not failed


def do_runs(
    runs: Sequence[Run], data_dir: str | None, engine: EngineOptions
) -> dict[str, str]:
    """Does the runs by an engine, under a display; returns as ``finish`` does."""
    if engine.engine == "ray":
        return _finish_on_ray(list(runs), data_dir, engine.ray_address)
    return finish(runs, data_dir, engine.jobs, engine.at_once)


def _write_grid(
    grid: Grid,
    base: Config,
    cells: list[Cell],
    out: Path,
    data_dir: str | None,
    quick: bool,
    committed: Path | None,
    failed: Mapping[str, str],
    choices: Mapping[Key, Choice],
) -> bool:
    """Writes a grid's files; returns whether all runs asked for are finished."""
    write_index(out)
    digest = digest_of(cells[0].config, data_dir)
    users = fold_of(cells[0].config, data_dir).fitted.n_users
    whole = gathered(grid, base, cells, out, data_dir, digest, quick, choices)
    path, results, ignored = collect(
        grid, whole, out, digest, quick, users, failed, choices
    )
    frame, written = report(grid, path, out)
    if ignored:
        print(f"{ignored} other runs in the grid's folder were ignored")
    done = {result.arm for result in results if result.record is not None}
    if grid.reference not in done:
        print(
            f"no differences: the reference {grid.reference} has no finished run here"
        )
    elif grid.reference not in {result.arm for result in of_common_seeds(results)}:
        print(f"no differences: the reference {grid.reference} has fewer seeds")
    print(*(f"wrote {name}" for name in written), sep="\n")
    if quick:
        print("a quick run: its numbers aren't results, and aren't compared")
    elif committed is not None and committed.is_file():
        beside_committed(frame, read_table(committed))
    else:
        print_recall(frame, grid.reference)
    asked = {(cell.arm, repr(cell.swept), cell.seed) for cell in cells}
    missing = [r for r in results if r.record is None]
    return not any((r.arm, repr(r.swept), r.seed) in asked for r in missing)


def _finish_on_ray(
    runs: list[Run], data_dir: str | None, address: str | None
) -> dict[str, str]:
    """Does the runs on a Ray cluster; returns as ``finish`` does."""
    from experiments.engine.ray import run_on_ray

    with display(len(runs)) as shown:

        def do(mine: list[Run], finished: Finished) -> None:
            if mine:
                run_on_ray(mine, data_dir, finished, shown.running, address)

        _share(runs, shown, do)
        return shown.failed
