"""The registry of studies: questions that a grid of training runs can't answer.

Each is a module or package named as the study, whose docstring has the question, the
command and what to expect. It is imported only when the study runs.
"""

from pathlib import Path
from typing import Any

from experiments.study import SIMULATED, Study
from research.registry import Registry, deferred

HERE = Path(__file__).parent
_POLICIES = (
    *("never", "half", "full", "rule", "shown", "rate", "ips", "ips-half"),
    *("calibrated", "calibrated-rule", "calibrated-rate"),
)
# The data sets of a prediction: those that it was committed for.
_MOVIELENS, _AMAZON = ("ml-100k", "ml-1m"), ("electronic", "movie")
_UNPREDICTED = ("coverage", "exposure", "frequency", "magnifier", "probe")


def _predicted(name: str) -> str:
    """A study's prediction (predictions/NAME.md), each paragraph on one line."""
    paragraphs = (HERE / "predictions" / f"{name}.md").read_text("utf-8").split("\n\n")
    return "\n\n".join(" ".join(lines.split()) for lines in paragraphs)


def _study(name: str, topic: str, question: str, minutes: str, **more: Any) -> Study:
    """A study whose functions are run_NAME and report_NAME of the module of its name.

    In a package the latter is in the module ``report``, if there is one.
    """
    of = name.removesuffix("-simulated")  # shares the module of the study without it
    module, run = of.replace("-", "_"), name.replace("-", "_")
    place = f"experiments.studies.{module}"
    report = ".report" if (HERE / module / "report.py").is_file() else ""
    return Study(
        name,
        question,
        minutes,
        run=deferred(f"{place}:run_{run}"),
        report=deferred(f"{place}{report}:report_{module}"),
        prediction="" if of in _UNPREDICTED else _predicted(of),
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
        "frequency",
        "corrections",
        "How fast does the streaming estimate follow a shift, at what error?",
        "3",
        seeds=5,
        place=SIMULATED,
    ),
    _study(
        "faithful",
        "corrections",
        "Does a more faithful gradient train a model nearer to the full softmax?",
        "10",
        seeds=3,
        predicted_on=("ml-100k",),
    ),
    _study(
        "budget",
        "negatives",
        "Which loss ranks best where each is tuned with the same budget?",
        "30",
        minutes_on={"ml-1m": "60"},
        seeds=10,
        predicted_on=_MOVIELENS,
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
        "pace-simulated",
        "negatives",
        "How much training does each loss need with 50,000 items?",
        "40",
        seeds=3,
        place=SIMULATED,
    ),
    _study(
        "at-k",
        "negatives",
        "Is popularity what a loss at K gains over the softmax?",
        "120",
        minutes_on={"electronic": "120"},
        seeds=3,
        predicted_on=("electronic", "ml-100k-irb"),
    ),
    _study(
        "collapse",
        "negatives",
        "How long does a model last once a cache of past vectors joins its negatives?",
        "30",
        seeds=5,
        predicted_on=("ml-100k",),
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
        "totals",
        "strength",
        "At which total strength is held-out recall highest, by epoch?",
        "5",
        minutes_on={"ml-1m": "15", "electronic": "40"},
        seeds=5,
        predicted_on=(*_MOVIELENS, "electronic"),
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
        "carry-over",
        "strength",
        "Does the strength that validation clicks give suit a model trained on them, "
        "too?",
        "10",
        minutes_on={"ml-1m": "60", "electronic": "40"},
        seeds=5,
        predicted_on=(*_MOVIELENS, "electronic"),
    ),
    _study(
        "span",
        "strength",
        "From which temperature on can cosines not hold both taste and log q?",
        "25",
        minutes_on={"electronic": "40", "movie": "120", "gowalla": "60"},
        seeds=3,
        predicted_on=("ml-100k", *_AMAZON, "gowalla"),
    ),
    _study(
        "length",
        "strength",
        "Does a longer training lose less of log q, where cosines cannot hold all of "
        "it?",
        "40",
        minutes_on={"ml-1m": "40 to 70", "electronic": "40 to 70"},
        seeds=5,
        predicted_on=(*_MOVIELENS, *_AMAZON),
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
        "exposure",
        "strength",
        "When does the log q correction recover what users would choose?",
        "6",
        seeds=3,
        place=SIMULATED,
    ),
    _study(
        "semisynthetic",
        "strength",
        "Does the rule of the correction's strength hold for tastes learned from real "
        "clicks?",
        "10",
        minutes_on={"ml-1m": "90"},
        seeds=3,
        predicted_on=_MOVIELENS,
    ),
    _study(
        "noise",
        "negatives",
        "How noisy is the gradient of the item table, by where the negatives are from?",
        "5",
        minutes_on={"electronic": "10"},
        seeds=5,
        predicted_on=("electronic", "movie", "gowalla", "ml-100k"),
    ),
    _study(
        "clicks",
        "strength",
        "Do more clicks bring the best strength of the correction to the rule's?",
        "50",
        minutes_on={"ml-1m": "30"},
        seeds=5,
        predicted_on=_MOVIELENS,
    ),
    _study(
        "stopping",
        "strength",
        "Does the epoch that held-out clicks choose bring the best strength to the "
        "rule's?",
        "10",
        minutes_on={"ml-1m": "30"},
        seeds=5,
        predicted_on=_MOVIELENS,
    ),
    _study(
        "feedback",
        "strength",
        "How much to correct where recommendations make the exposure?",
        "70",
        seeds=5,
        place=SIMULATED,
        arms=_POLICIES,
    ),
    _study(
        "impressions",
        "strength",
        "With impressions of each item, how much of log q and of log impressions to "
        "serve with?",
        "30",
        minutes_on={"ml-1m": "90", "electronic": "60"},
        seeds=5,
        predicted_on=(*_MOVIELENS, "electronic"),
        arms=("in-batch", "in-batch+logq", "in-batch+ips", "in-batch+logq+ips"),
    ),
    _study(
        "shift",
        "strength",
        "Should log q be corrected if test items are drawn evenly from the catalogue?",
        "180",
        minutes_on={"electronic": "180", "movie": "130"},
        seeds=3,
        predicted_on=_AMAZON,
        arms=("in-batch", "in-batch+logq", "mixed", "mixed+logq", "full-softmax"),
    ),
    _study(
        "calibrated-shift",
        "strength",
        "Do clicks drawn as at serving time set the strength, and how many does it "
        "take?",
        "60",
        minutes_on={"electronic": "60", "movie": "90"},
        seeds=5,
        predicted_on=_AMAZON,
        arms=("in-batch", "in-batch+logq"),
    ),
    _study(
        "unclicked",
        "strength",
        "Why is a model with log q in the loss hard to serve without popularity?",
        "40",
        minutes_on={"electronic": "40", "movie": "40"},
        seeds=3,
        predicted_on=_AMAZON,
        arms=("in-batch", "in-batch+logq", "mixed+logq"),
    ),
    _study(
        "without-clicked",
        "strength",
        "Does the rule of the strength hold for lists without what a user has clicked?",
        "5",
        minutes_on={"electronic": "20"},
        seeds=5,
        predicted_on=("ml-100k", "electronic"),
        arms=("in-batch", "in-batch+logq"),
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
        "trade-off-chosen",
        "temperature",
        "Which trades precision against diversity once validation chooses the epochs?",
        "20",
        minutes_on={"electronic": "45", "ml-1m": "60"},
        seeds=5,
        predicted_on=(*_MOVIELENS, "electronic"),
        arms=("in-batch", "in-batch+logq"),
    ),
    _study(
        "scale",
        "temperature",
        "At which temperature should a model be served that was trained at another?",
        "5",
        minutes_on={"electronic": "20"},
        seeds=5,
        predicted_on=("ml-100k", "electronic"),
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
        arms_of=deferred("experiments.studies.outside.runs:names"),
    ),
    _study(
        "coverage",
        "machinery",
        "Do 95 % intervals cover the truth, for nearly tied arms too?",
        "3",
    ),
)
STUDIES: Registry[Study] = Registry(
    "study", {study.name: study for study in _STUDIES}, cached=False
)
