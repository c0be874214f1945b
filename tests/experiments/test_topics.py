"""Lists of grids and studies are by topic, and each topic leads to pages on it."""

import re
from pathlib import Path

import pytest

from experiments.__main__ import main
from experiments.grids import GRIDS
from experiments.lookup import experiments
from experiments.pages.overview import write_overview
from experiments.resolve import expand
from experiments.topics import OTHERS, TOPICS, by_topic
from research.config import Config
from research.report.predictions import statement_table
from research.report.records import save_records
from research.types import InputError

DOCS = Path(__file__).parents[2] / "docs"


def anchors_of(page: Path) -> set[str]:
    """The names of a page's headings in links."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("topic", sorted(set(TOPICS) - {OTHERS}))
def test_a_topic_leads_to_headings_that_there_are(topic):
    assert TOPICS[topic].pages
    for link in TOPICS[topic].pages.values():
        page, _, anchor = link.partition("#")
        assert (DOCS / page).is_file()
        assert not anchor or anchor in anchors_of(DOCS / page)


def test_list_groups_every_grid_and_study_under_the_headings(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name, one in experiments().items():
        assert one.question.split()[0] in out
        assert name not in GRIDS or str(len(expand(one, Config()))) in out
    place = {}
    headings = {one.heading: topic for topic, one in TOPICS.items()}
    topic = ""
    for line in out.splitlines():
        topic = headings.get(line.partition(" (docs/")[0].strip(), topic)
        name = line.strip("│ ").partition(" ")[0]
        if line.startswith("│ ") and name in experiments() and line[2] != " ":
            place[name] = topic
    assert place == {name: one.topic for name, one in experiments().items()}


def test_the_results_are_grouped_under_the_headings_with_their_pages(tmp_path):
    records = tmp_path / "records" / "ml-100k"
    for name in ("temperature", "correction", "ssb-last"):
        header = {"grid": name.removesuffix("-last"), "dataset": "ml-100k"}
        save_records(records / f"{name}.npz", [], header)
    text = write_overview(tmp_path / "records", tmp_path).read_text()
    _, corrections, temperature = text.split("\n## ")
    assert corrections.startswith("Corrections\n")
    assert corrections.index("| ssb-last |") < corrections.index("| correction |")
    assert "](../docs/findings.md#which-correction)" in corrections
    assert temperature.startswith("Temperature\n")
    assert "| temperature | ml-100k |" in temperature


def test_a_grid_without_a_topic_is_last_and_an_unknown_topic_is_refused(capsys):
    GRIDS["mine"] = GRIDS["ssb"].but(name="mine", topic=OTHERS)
    try:
        assert main(["list"]) == 0
        last = capsys.readouterr().out.split(TOPICS[OTHERS].heading)[-1]
        assert "│ mine " in last
        GRIDS["mine"] = GRIDS["mine"].but(topic="corections")
        with pytest.raises(InputError, match=r"topic of mine .*'corections'"):
            by_topic(experiments())
        assert main(["run", "mine", "--show"]) == 2
        assert "corections" in capsys.readouterr().err
    finally:
        GRIDS.pop("mine")


MADE = {"commits": ["abc1234"], "processors": ["x86_64"], "jax": ["0.10.2"]}


def test_a_row_has_the_question_its_verdicts_and_what_made_it(tmp_path):
    header = {"grid": "recipes", "dataset": "ml-100k", "split": "ratio", "quick": False}
    records = tmp_path / "records" / "ml-100k"
    save_records(records / "recipes.npz", [], {**header, "made": MADE})
    save_records(records / "ssb-last.npz", [], {**header, "grid": "ssb", "quick": True})
    contrasts = tmp_path / "tables" / "ml-100k" / "recipes-contrasts.csv"
    contrasts.parent.mkdir(parents=True)
    contrasts.write_text("id,verdict\na,worse\nb,undecided\nc,worse\nd,\n")
    statements = [["a", "1", "holds"], ["b", "2", "fails"], ["c", "3", "holds"]]
    page = f"# Title\n\n{statement_table(statements)}\n\n| holds | x |\n"
    contrasts.with_name("recipes.md").write_text(page)
    overview = write_overview(tmp_path / "records", tmp_path).read_text()
    ssb, recipes = (line for line in overview.splitlines() if "| ml-100k |" in line)
    assert "What do incorrect corrections in public code cost?" in recipes
    counted = "[2 worse, 1 undecided](tables/ml-100k/recipes-contrasts.md)"
    assert f"{counted} | fails 1, holds 2 |" in recipes
    minutes = GRIDS["recipes"].minutes
    assert f"| abc1234 | x86_64, JAX 0.10.2 | {minutes} |" in recipes
    assert "ssb-last, a quick run" in ssb
    assert "| - | - | 1 | - | - | " in ssb
