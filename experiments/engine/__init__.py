"""What runs the runs: this process, workers on its cores, or a Ray cluster."""

from typing import NamedTuple

from research.types import InputError, choose

ENGINES = ("local", "ray")


class EngineOptions(NamedTuple):
    """How runs are run; the flags of the command run.

    Attributes:
      engine: "local" or "ray".
      ray_address: HOST:PORT of a running cluster.
      jobs: worker processes; None for one per core, 1 for this process.
      at_once: how many alike runs one program trains; None for 1 on a CPU, else 8.
    """

    engine: str = "local"
    ray_address: str | None = None
    jobs: int | None = None
    at_once: int | None = None

    def check(self) -> None:
        """Compares the options with each other.

        Raises:
          InputError: an unknown engine, a number below 1, or options that exclude each
            other.
        """
        choose(self.engine, dict.fromkeys(ENGINES), "engine")
        if self.engine != "ray" and self.ray_address is not None:
            raise InputError("--ray-address needs --engine ray")
        for name in ("jobs", "at_once"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InputError(f"{name} is {value}: it must be at least 1")
        if (self.at_once or 1) > 1 and (self.engine == "ray" or (self.jobs or 1) > 1):
            raise InputError(
                f"at_once is {self.at_once}: it needs --engine local and --jobs 1"
            )
