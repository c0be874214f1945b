"""Grids of runs, the engine that finishes them, and the one command-line entry."""
