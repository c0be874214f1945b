"""Runs that are alike, trained in one program: for devices that one run doesn't fill.

On two CPU cores this is the slower way (results/benchmarks, sweep); on an accelerator
small runs leave most of the device idle, and the program is compiled for all of them.
"""

from collections.abc import Callable, Iterator

from experiments.runs import fold_of
from experiments.tasks import TOWERS, Task
from research.config import Config, alike
from research.train.loop import NotFinite, Trained, train_together

__all__ = ["groups", "train_group"]


def groups(tasks: list[Task], at_once: int) -> Iterator[list[Task]]:
    """The tasks, up to ``at_once`` of those that are alike in a group.

    What has been trained already, has no towers, or is measured on the way stays alone.
    """
    waiting: dict[Config, list[Task]] = {}
    for task in sorted(tasks, key=lambda task: repr(task.shape)):
        if at_once == 1 or not _can(task):
            yield [task]
            continue
        group = waiting.setdefault(alike(task.config), [])
        group.append(task)
        if len(group) == at_once:
            yield waiting.pop(alike(task.config))
    yield from waiting.values()


def _can(task: Task) -> bool:
    stored = (task.folder / "vectors.npz").is_file()
    plain = task.config.model == TOWERS and not task.config.evaluate_every
    return plain and task.devices == 1 and not stored


def train_group(
    tasks: list[Task], data_dir: str | None, running: Callable[[str], None]
) -> list[Trained | NotFinite]:
    """What came of each task's training."""
    configs = [task.config for task in tasks]

    def on_epoch(run: int, epoch: int, row: dict[str, float]) -> None:
        if run == 0:
            of = f"epoch {epoch}/{configs[0].epochs} of {len(tasks)} runs at once"
            running(f"{tasks[0].name} and others: {of}")

    return train_together(configs, fold_of(configs[0], data_dir), on_epoch)
