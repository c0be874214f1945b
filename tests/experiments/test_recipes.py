"""The recipes of docs/models.md: two nearest-neighbour libraries give the lists."""

import re
from pathlib import Path

import numpy as np
import pytest

from research.saved.files import load_model

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def recipe(library):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.S | re.M)
    (block,) = [block for block in blocks if f"{library}" in block]
    assert len([line for line in block.splitlines() if line]) <= 11  # ten and NumPy
    return block


@pytest.mark.parametrize("library", ["faiss", "usearch"])
def test_a_recipe_has_ten_lines(library):
    compile(recipe(library), library, "exec")


@pytest.mark.slow
@pytest.mark.parametrize(("prior", "fewest"), [("0", "0"), ("0.8", "0"), ("-1", "9")])
@pytest.mark.parametrize("library", ["faiss", "usearch"])
def test_a_library_finds_the_lists(library, prior, fewest, call, tmp_path, monkeypatch):
    model, histories = tmp_path / "model", tmp_path / "h.csv"
    words = ("--arm", "tiny+logq", "--out", tmp_path / "out", "--save", model)
    assert call("train", *words).status == 0
    draw = np.random.default_rng(0)
    rows = [
        f"{user},{item}"
        for user in range(900, 930)
        for item in draw.choice(np.arange(1, 100), size=1 + user % 7, replace=False)
    ]
    histories.write_text("\n".join(["user,item", *rows, ""]))
    words = ("--histories", histories, "--out", tmp_path / "vectors")
    served = ("--prior", prior, "--min-clicks", fewest)
    assert call("encode", "--model", model, *words, *served).status == 0
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(recipe(library), names)
    given = {"prior": float(prior), "min_clicks": int(fewest)}
    expected = load_model(model).lists(histories, k=20, **given).items
    same = [len(set(a) & set(b)) for a, b in zip(names["lists"], expected, strict=True)]
    assert min(len(one) for one in names["lists"]) == 20
    assert np.mean(same) > 19.5  # the index may be approximate
