"""Notebooks run where people open them: in their folder, with the project installed."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.data.own import csv_text, write

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
OWN = "5_your_own_loss_source_metric"
OWN_DATA = "6_your_own_interactions"
SLOW = pytest.mark.slow
WHERE = """
from importlib.util import find_spec
for name in ("research", "experiments"):
    print(spec.origin if (spec := find_spec(name)) else None)
"""


@pytest.fixture
def installed(monkeypatch):
    """This clone is what another folder's Python imports, and no path says so.

    ``make`` installs it that way; nothing here puts it on a path in its place.
    """
    monkeypatch.delenv("PYTHONPATH", raising=False)
    words = [sys.executable, "-c", WHERE]
    done = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True, check=True)
    expected = [
        str(ROOT / name / "__init__.py") for name in ("research", "experiments")
    ]
    if done.stdout.splitlines() != expected:
        pytest.fail(
            f"not this clone but {done.stdout.split()} is what {sys.executable} imports "
            "in notebooks/: run make, or pip install --no-deps -e .",
            pytrace=False,
        )


def run(notebook: nbformat.NotebookNode) -> None:
    """Executes a notebook in its folder, with a kernel of the tests' environment."""
    place = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources=place
    ).execute()


every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_of(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds_of(cell: nbformat.NotebookNode) -> set[str]:
    """The kinds of a cell's outputs: streams by name, displays by type.

    Without stderr, where a first run says that it downloads the data.
    """
    found: set[str] = set()
    for output in cell.outputs:
        found |= {output.name} if "name" in output else set(output.data)
    return found - {"stderr"}


@pytest.mark.usefixtures("installed")
@pytest.mark.filterwarnings("ignore:Kernel is running over TCP")
@SLOW
@every_notebook
def test_notebook_runs(path, monkeypatch):
    """Compiled as users have it; its outputs are of the committed kinds."""
    monkeypatch.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS", raising=False)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    notebook = nbformat.read(path, as_version=4)
    cells = code_of(notebook)
    committed = [kinds_of(cell) for cell in cells]
    run(notebook)
    assert [kinds_of(cell) for cell in cells] == committed
    assert not any("stderr" in kinds for kinds in committed)


# What a reader of the notebook on own data changes, by the start of the line.
MINE = {
    "mine = ": "mine = '{path}'",
    "split = ": "split = 'ratio'",
    "how = ": "how = ['--quick']",
    "user_list(": "user_list(run, user='u7', k=5)",
    "history = ": "history = ['i1', 'i4']",
}


@SLOW
@pytest.mark.usefixtures("installed")
@pytest.mark.filterwarnings("ignore:Kernel is running over TCP")
def test_the_notebook_on_own_data_is_of_the_data_that_it_is_given(tmp_path):
    """Where only the marked lines are changed, after a run of its example, too."""
    rows = [
        (f"u{user}", f"i{item}", 100 * user + item)
        for user in range(60)
        for item in range(user % 3, 120, 4)
    ]
    path = write(tmp_path / "letters.csv", csv_text(rows, "user,item,timestamp"))
    notebook = nbformat.read(FOLDER / f"{OWN_DATA}.ipynb", as_version=4)
    marked = 0
    for cell in code_of(notebook):
        lines = cell.source.splitlines()
        marked += sum("# change me" in line for line in lines)
        cell.source = "\n".join(
            next((MINE[s] for s in MINE if line.startswith(s)), line).format(path=path)
            if "# change me" in line
            else line
            for line in lines
            if "# delete me" not in line
        )
    assert marked == len(MINE)
    run(notebook)
    text = nbformat.writes(notebook)
    assert "letters" in text
    assert "Star Wars" not in text
    for cell in code_of(notebook):
        shown = "".join(output.get("text", "") for output in cell.outputs)
        assert "shop" not in shown
        assert "error: " not in shown


LOGIC = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.Try, ast.With)


@every_notebook
def test_it_holds_no_logic_and_imports_what_exists(path):
    cells = code_of(nbformat.read(path, as_version=4))
    tree = ast.parse("\n".join(cell.source for cell in cells))
    found = [node for node in tree.body if isinstance(node, LOGIC)]
    own = [node.name for node in found if isinstance(node, ast.FunctionDef)]
    assert own == (["margin", "head", "precision"] if path.stem == OWN else [])
    assert len(found) == len(own), "logic belongs in a module"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(ast.unparse(node), {})


@SLOW
@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("words", "status"), [("list", 0), ("run nosuchgrid", 2)])
def test_the_console_command_passes_its_exit_status_on(words, status):
    command = Path(sys.executable).with_name("two-tower-ssb")
    done = subprocess.run(
        [command, *words.split()],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert bool(done.stdout) is (status == 0)
    assert done.stderr.count("\n") == (status > 0)
