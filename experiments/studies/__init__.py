"""The registry of studies: questions that a grid of training runs can't answer.

Each is a module or package named as the study, whose docstring has the question, the
command and what to expect. It is imported only when the study runs.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from experiments.grid import Elsewhere, Prediction
from experiments.study import SIMULATED, Study
from research.registry import Registry, deferred

HERE = Path(__file__).parent
# The data sets of a prediction: those that it was committed for.
_MOVIELENS, _AMAZON = ("ml-100k", "ml-1m"), ("electronic", "movie")
_UNPREDICTED = ("magnifier", "probe")


def _predicted(name: str) -> str:
    """A study's prediction (predictions/NAME.md), each paragraph on one line."""
    paragraphs = (HERE / "predictions" / f"{name}.md").read_text("utf-8").split("\n\n")
    return "\n\n".join(" ".join(lines.split()) for lines in paragraphs)


def _study(
    name: str,
    topic: str,
    question: str,
    minutes: str,
    predicted_on: tuple[str, ...] = (),
    minutes_on: Mapping[str, str] = MappingProxyType({}),
    **more: Any,
) -> Study:
    """A study whose functions are run_NAME and report_NAME of the module of its name.

    In a package the latter is in the module ``report``, if there is one.
    """
    module = name.replace("-", "_")
    place = f"experiments.studies.{module}"
    report = ".report" if (HERE / module / "report.py").is_file() else ""
    return Study(
        name=name,
        question=question,
        minutes=minutes,
        run=deferred(f"{place}:run_{module}"),
        report=deferred(f"{place}{report}:report_{module}"),
        prediction=Prediction(
            "" if name in _UNPREDICTED else _predicted(name), predicted_on
        ),
        elsewhere=Elsewhere(minutes=minutes_on),
        topic=topic,
        **more,
    )


_STUDIES = (
    _study(
        "probe",
        "corrections",
        "How much of the sampling bias does each correction leave?",
        "8",
    ),
    _study(
        "pace",
        "negatives",
        "How much training does each loss need, in examples and in seconds?",
        "5",
        minutes_on={"ml-1m": "30"},
        seeds=3,
        predicted_on=_MOVIELENS,
    ),
    _study(
        "strength",
        "strength",
        "Do log q in the loss and a popularity prior when serving do the same?",
        "25",
        minutes_on={"electronic": "60", "movie": "60"},
        seeds=3,
        predicted_on=(*_MOVIELENS, *_AMAZON, "gowalla"),
    ),
    _study(
        "calibration",
        "strength",
        "Do held-out clicks say how far the best strength lies from the rule's?",
        "20",
        minutes_on={"ml-1m": "90", "electronic": "60"},
        seeds=5,
        predicted_on=(*_MOVIELENS, "electronic"),
        arms=("in-batch", "in-batch+logq"),
    ),
    _study(
        "dial",
        "strength",
        "How much of log q should be corrected, where part of popularity is exposure?",
        "25",
        seeds=5,
        place=SIMULATED,
    ),
    _study(
        "trade-off",
        "temperature",
        "Which trades precision against diversity, the temperature or the popularity "
        "prior?",
        "12",
        minutes_on={"ml-1m": "60", "electronic": "50"},
        seeds=5,
        predicted_on=(*_MOVIELENS, "electronic"),
        arms=("in-batch", "in-batch+logq"),
    ),
    _study(
        "magnifier",
        "temperature",
        "Which negatives receive the gradient, by temperature?",
        "2",
        seeds=5,
    ),
    _study(
        "outside",
        "data",
        "Does this code reproduce published numbers?",
        "900",
        seeds=5,
        place="outside",
        arms_of=deferred("experiments.studies.outside:names"),
    ),
)
STUDIES: Registry[Study] = Registry(
    "study", {study.name: study for study in _STUDIES}, cached=False
)
