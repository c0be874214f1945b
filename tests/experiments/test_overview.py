"""The list of results counts verdicts and names what made the runs."""

from experiments.grids import GRIDS
from experiments.pages.overview import write_overview
from research.report.predictions import statement_table
from research.report.records import save_records

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
