"""The examples of docs/api-steering.md, line by line."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess

import pytest
from tests.api.steering.conftest import Steered

ROOT = pathlib.Path(__file__).resolve().parents[3]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/api-steering.md").read_text(), re.DOTALL)


def test_there_are_examples() -> None:
    assert len(BLOCKS) >= 6


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("/api/v1/")[1][:12].strip())
def test_an_example_works(block: str, steered: Steered, tmp_path: pathlib.Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed (Debian: apt-get install curl)")
    done = subprocess.run(
        ["sh", "-e", "-c", block],
        env={
            "PATH": "/usr/bin:/bin",
            "PENSTOCK_URL": steered.url,
            "PENSTOCK_KEY": steered.keys["admin"],
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{")


def test_the_socket_s_example(steered: Steered) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed (Debian: apt-get install curl)")
    words = ["--unix-socket", steered.socket, "http://localhost/api/v1/daemon"]
    done = subprocess.run(["curl", "-fsS", *words], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("{"), done.stderr
