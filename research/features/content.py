"""Vectors of what an item is: its title's words, or an array that someone brings."""

import hashlib
import importlib.util
import re
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from research.types import InputError, Items

__all__ = ["check_titles", "load_array", "stamped", "title_vectors"]

TITLE_DIM = 32
TITLE_HASHES = 4096
_STAMP = re.compile(r"^(.*)#([0-9a-f]{12})$")


def check_titles(items: Items) -> None:
    """Looks whether titles can be made into vectors.

    Raises:
      InputError: scikit-learn isn't installed, or there are too few items.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise InputError("item feature 'title' needs scikit-learn: install it")
    if len(items.id) <= TITLE_DIM:
        raise InputError(f"item feature 'title' needs more than {TITLE_DIM} items")


def title_vectors(items: Items) -> Float[ndarray, "i d"]:
    """Titles as hashed words and pairs of words, by a truncated SVD; rows of length 1.

    Words are weighed by how rare they are among the titles. The same titles give the
    same vectors: the SVD's start is fixed. A title without words has a row of zeros.

    Raises:
      InputError: scikit-learn isn't installed, or there are too few titles.
    """
    try:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    except ImportError:
        raise InputError(
            "item feature 'title' needs scikit-learn: install it"
        ) from None
    titles = [str(title) for title in items.title]
    if len(titles) <= TITLE_DIM:
        raise InputError(f"item feature 'title' needs more than {TITLE_DIM} items")
    hashed = HashingVectorizer(
        n_features=TITLE_HASHES, ngram_range=(1, 2), alternate_sign=False, norm=None
    ).transform(titles)
    weighed = TfidfTransformer().fit_transform(hashed)
    found = TruncatedSVD(TITLE_DIM, random_state=0).fit_transform(weighed)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return (found / np.maximum(length, 1e-9)).astype(np.float32)


def stamped(name: str) -> str:
    """The file's name with a stamp of what it holds, by which a run knows its input.

    A name that has a stamp already stays as it is.

    Raises:
      InputError: the file can't be read.
    """
    if not name or _STAMP.match(name):
        return name
    return f"{name}#{_digest(Path(name))}"


def unstamped(name: str) -> Path:
    """The file of a stamped name.

    Raises:
      InputError: it holds something else by now, or can't be read.
    """
    found = _STAMP.match(name)
    if found is None:
        return Path(name)
    path = Path(found[1])
    if _digest(path) != found[2]:
        raise InputError(f"{path} has changed since the run was described")
    return path


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def load_array(name: str, items: Items) -> Float[ndarray, "i d"]:
    """Vectors of text, of images, of anything: a row an item, in the items' order.

    A .npy file has a row for each item of the catalogue, by ascending id. A .npz file
    has ``ids`` and ``vectors``; ids that the catalogue lacks are left out. The rows are
    divided by their root mean square length, so that no array shouts the others down.

    Raises:
      InputError: a file of another form, a row that isn't there, too many or missing,
        or a value that isn't finite.
    """
    path = unstamped(name)
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not an array ({error})".splitlines()[0]) from None
    if arrays is None:
        vectors, ids = loaded, np.sort(items.id)
        if vectors.shape[:1] != ids.shape:
            rows = vectors.shape[0] if vectors.ndim else 0
            raise InputError(
                f"{path}: {rows} rows, the catalogue has {len(ids)} items: expected a "
                "row each by ascending id, or a .npz with ids"
            )
    else:
        if {"ids", "vectors"} - set(arrays):
            raise InputError(f"{path}: expected arrays named ids and vectors")
        vectors, ids = arrays["vectors"], arrays["ids"]
    return _rows(path, vectors, ids, items)


def _rows(path: Path, vectors: ndarray, ids: ndarray, items: Items) -> ndarray:
    if vectors.ndim != 2 or not vectors.shape[1] or vectors.shape[:1] != ids.shape:
        raise InputError(
            f"{path}: vectors of shape {list(vectors.shape)} for {ids.size} ids: "
            "expected a row of numbers an item"
        )
    if vectors.dtype.kind not in "fiub":
        raise InputError(f"{path}: values of type {vectors.dtype}, expected numbers")
    by_id = np.argsort(ids, kind="stable")
    ordered = ids[by_id]
    if len(ordered) and (ordered[1:] == ordered[:-1]).any():
        raise InputError(f"{path}: an id has two rows")
    at = np.minimum(np.searchsorted(ordered, items.id), max(len(ordered) - 1, 0))
    missing = ordered[at] != items.id if len(ordered) else np.ones(len(items.id), bool)
    if missing.any():
        raise InputError(
            f"{path}: no row for {missing.sum()} items, item {items.id[missing][0]} "
            "among them"
        )
    rows = vectors[by_id[at]].astype(np.float32)
    if not np.isfinite(rows).all():
        item = items.id[~np.isfinite(rows).all(axis=1)][0]
        raise InputError(f"{path}: the row of item {item} holds what isn't finite")
    scale = np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1).mean())
    return (rows / max(scale, 1e-9)).astype(np.float32)
