"""The topics of grids and studies, by which lists of them are grouped.

Within a topic, entries stand in the order of their registries: grids, then studies. The
first one is where to begin.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeVar

from research.types import choose

OTHERS = "others"


class Topic(NamedTuple):
    """What several grids and studies are about.

    Attributes:
      heading: of lists.
      pages: the pages that discuss it, by their names in links: paths in docs/, perhaps
        with a heading.
    """

    heading: str
    pages: Mapping[str, str] = MappingProxyType({})


class Entry(Protocol):
    """A grid or a study."""

    @property
    def name(self) -> str:
        """Unique among both."""

    @property
    def topic(self) -> str:
        """A key of TOPICS."""


T = TypeVar("T", bound=Entry)

# In the order in which a newcomer reads them.
TOPICS: dict[str, Topic] = {
    "corrections": Topic(
        "Corrections",
        {
            "twelve questions": "findings.md#twelve-questions",
            "which correction": "findings.md#which-correction",
        },
    ),
    "negatives": Topic(
        "Losses and negatives",
        {
            "negatives": "findings.md#corrections-and-negatives",
            "which loss": "findings.md#which-loss",
        },
    ),
    "strength": Topic(
        "How much to correct",
        {"how much to correct": "how-much-to-correct.md"},
    ),
    "temperature": Topic("Temperature", {"temperature": "temperature.md"}),
    "towers": Topic(
        "Towers, features and kinds of positives",
        {"towers": "towers.md", "positives": "positives.md"},
    ),
    "data": Topic(
        "Baselines and published numbers",
        {"baselines": "baselines.md", "published numbers": "published-numbers.md"},
    ),
    "machinery": Topic(
        "Tuning and intervals",
        {"intervals and verdicts": "metrics.md#intervals-and-verdicts"},
    ),
    OTHERS: Topic("Others"),
}


def by_topic(entries: Mapping[str, T]) -> dict[str, list[T]]:
    """The entries under each topic that has some, in the order of TOPICS.

    Raises:
      InputError: a topic that is not in TOPICS.
    """
    found: dict[str, list[T]] = {topic: [] for topic in TOPICS}
    for entry in entries.values():
        choose(entry.topic, TOPICS, f"topic of {entry.name}")
        found[entry.topic].append(entry)
    return {topic: group for topic, group in found.items() if group}
