"""Results compare only within one version; a change that moves numbers bumps it."""

__all__ = ["RESULTS_VERSION"]

RESULTS_VERSION = 1
