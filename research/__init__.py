"""Two-tower retrieval: one stage per folder or file, and data flows only down.

The names below are what notebooks and experiments need. Each is imported when it is
first used, so importing the library loads nothing heavy and changes nothing in the
process.
"""

from typing import TYPE_CHECKING, Any

from research.registry import deferred

if TYPE_CHECKING:
    from research.baselines import BASELINES
    from research.compiler import set_xla_flags
    from research.config import Config
    from research.data import DATASETS, load
    from research.events import catalogue, fold
    from research.losses import LOSSES, Loss
    from research.negatives import SOURCES, SourceEntry
    from research.prepare import Prepared, prepare
    from research.saved.files import load_model
    from research.temperature import TEMPERATURES
    from research.towers import ENCODERS
    from research.train.loop import Trained, train
    from research.types import InputError

__all__ = [
    "BASELINES",
    "DATASETS",
    "ENCODERS",
    "LOSSES",
    "SOURCES",
    "TEMPERATURES",
    "Config",
    "InputError",
    "Loss",
    "Prepared",
    "SourceEntry",
    "Trained",
    "catalogue",
    "fold",
    "load",
    "load_model",
    "prepare",
    "set_xla_flags",
    "train",
]

_HOMES = {
    "research.baselines": ("BASELINES",),
    "research.compiler": ("set_xla_flags",),
    "research.config": ("Config",),
    "research.data": ("DATASETS", "load"),
    "research.events": ("catalogue", "fold"),
    "research.losses": ("LOSSES", "Loss"),
    "research.negatives": ("SOURCES", "SourceEntry"),
    "research.prepare": ("Prepared", "prepare"),
    "research.temperature": ("TEMPERATURES",),
    "research.towers": ("ENCODERS",),
    "research.saved.files": ("load_model",),
    "research.train.loop": ("Trained", "train"),
    "research.types": ("InputError",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return deferred(f"{module}:{name}").load()
    raise AttributeError(f"module 'research' has no attribute '{name}'")
