"""Notebooks run where people open them: in their folder, with the project installed."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
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
        notebook, timeout=300, kernel_name="python3", resources=place
    ).execute()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore:Kernel is running over TCP")
def test_notebook_runs(path):
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert 0 < len(cells) < 12
    assert not any("def " in cell.source for cell in cells), "logic belongs in a module"
    committed = [bool(cell.outputs) for cell in cells]
    assert any(committed), "outputs are committed"
    run(notebook)
    assert [bool(cell.outputs) for cell in cells] == committed


@pytest.mark.usefixtures("installed")
@pytest.mark.filterwarnings("ignore:Kernel is running over TCP")
def test_the_kernel_is_of_this_environment_and_in_the_notebooks_folder():
    cell = nbformat.v4.new_code_cell("import os, sys\nprint(sys.prefix, os.getcwd())")
    run(nbformat.v4.new_notebook(cells=[cell]))
    assert cell.outputs[0].text.split() == [sys.prefix, str(FOLDER)]


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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_first_cell_says_how_to_get_the_kernel(path):
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.cell_type == "markdown"
    assert "`make notebook`" in first.source


def test_there_is_a_notebook():
    assert [path.stem for path in NOTEBOOKS] == ["compare_two_arms"]
