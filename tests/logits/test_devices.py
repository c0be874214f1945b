"""Logits in blocks on 8 virtual devices: no waiting between one block and the next."""

import json
import os
import subprocess
import sys


def test_devices_loop_over_their_own_rows_alone():
    flags = os.environ.get("XLA_FLAGS", "")
    flags += " --xla_force_host_platform_device_count=8"
    done = subprocess.run(
        [sys.executable, "-m", "tests.logits.blocks_run"],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    left, told = (json.loads(done.stdout)[key] for key in ("False", "True"))
    assert left["talks"] > 0, "what the compiler does unless it is told"
    assert told["talks"] == 0
    assert told["apart"] < 1e-6
