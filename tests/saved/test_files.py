"""The folder of a model: what is written is read back, and nothing else is believed."""

import dataclasses
import json
import re
import shutil
import threading

import numpy as np
import pytest

from research.saved import files
from research.saved.files import HEADER, load_model, save_model
from research.types import InputError, Table
from tests.experiments.made import contents
from tests.saved.made import trained


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "deep" / "model"
    save_model(trained()[2], folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "model")


def test_a_model_is_read_back_as_it_was(saved):
    _, _, model = trained()
    loaded = load_model(saved)
    assert loaded.config == model.config
    assert loaded.temperature == model.temperature
    for name in ("item_counts", "log_q", "item_vectors"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(model, name))
    assert loaded.params.keys() == model.params.keys()
    for name, table in model.params["tables"].items():
        np.testing.assert_array_equal(loaded.params["tables"][name], table)
    for side in ("users", "items"):
        old, new = getattr(model, side), getattr(loaded, side)
        np.testing.assert_array_equal(old.id, new.id)
        assert list(old.columns) == list(new.columns)
    one = {900: [9, 2]}
    np.testing.assert_array_equal(loaded.encode(one).vectors, model.encode(one).vectors)


def test_the_same_model_gives_the_same_bytes(saved, tmp_path):
    save_model(trained()[2], tmp_path / "again")
    assert contents(saved) == contents(tmp_path / "again")


def test_ids_may_be_texts(tmp_path):
    model = trained()[2]
    ids = np.array([f"film {n} é" for n in range(len(model.items.id))])
    items = Table(model.items.id, model.items.columns, ids)
    save_model(dataclasses.replace(model, items=items), tmp_path / "m")
    np.testing.assert_array_equal(load_model(tmp_path / "m").items.names, ids)


def _edit(folder, **changes):
    header = json.loads((folder / HEADER).read_text())
    (folder / HEADER).write_text(json.dumps({**header, **changes}))


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "another format": (lambda f: _edit(f, format=7), "a model of format 7"),
    "no format": (lambda f: (f / HEADER).write_text("{}"), "a model of format None"),
    "edited": (lambda f: _edit(f, temperature=0.5), "was edited or damaged"),
    "cut": (lambda f: (f / HEADER).write_text('{"format": 1'), "not readable as JSON"),
    "arrays": (lambda f: _flip(next(f.glob("*.npz"))), "was edited or damaged"),
    "no arrays": (lambda f: next(f.glob("*.npz")).unlink(), "No such file"),
    "no header": (lambda f: (f / HEADER).unlink(), "is no model folder"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_another_version_or_a_damaged_folder_is_refused_in_one_line(case, folder):
    damage, line = DAMAGE[case]
    damage(folder)
    with pytest.raises(InputError, match=re.escape(line)) as raised:
        load_model(folder)
    assert "\n" not in str(raised.value)


def test_a_config_that_is_unknown_here_is_another_version(folder):
    header = json.loads((folder / HEADER).read_text())
    header["config"]["knob"] = 1
    del header["digest"]
    digest = files._digest(files._canonical(header))
    (folder / HEADER).write_text(json.dumps({**header, "digest": digest}))
    with pytest.raises(InputError, match=r"a model of another version.*knob"):
        load_model(folder)


@pytest.mark.parametrize("at", ["write_arrays", "write_json"])
def test_a_write_that_fails_leaves_the_earlier_model(at, folder, monkeypatch):
    before = load_model(folder)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, at, full)
    other = trained(user_features=(), encoder="last-click")[2]
    with pytest.raises(InputError, match="No space left on device"):
        save_model(other, folder)
    assert load_model(folder).config == before.config


def test_a_reader_beside_a_writer_has_the_later_model(folder, monkeypatch):
    """Another process saves between the reader's header and its arrays."""
    other = trained(user_features=(), encoder="last-click")[2]
    check, saves = files.check_archive, []

    def save_and_check(path):
        if not saves:
            saves.append(save_model(other, folder))
        return check(path)

    monkeypatch.setattr(files, "check_archive", save_and_check)
    assert load_model(folder).config == other.config


def test_of_two_that_save_into_one_folder_the_later_is_whole(tmp_path, monkeypatch):
    """The other one comes between the arrays of the first and its header."""
    model, folder, others = trained()[2], tmp_path / "m", []
    later = dataclasses.replace(model, item_counts=model.item_counts + 1)
    write = files.write_json

    def meet_and_write(*words):
        if not others:
            others.append(threading.Thread(target=save_model, args=(later, folder)))
            others[0].start()
            others[0].join(1)
        return write(*words)

    monkeypatch.setattr(files, "write_json", meet_and_write)
    save_model(model, folder)
    others[0].join()
    found = load_model(folder)
    np.testing.assert_array_equal(found.item_counts, later.item_counts)
    assert len(contents(folder)) == 2
