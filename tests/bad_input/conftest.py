"""The command line in process, on made data, with no cache of the person's."""

from tests.experiments.conftest import call, data, own_place

__all__ = ["call", "data", "own_place"]
