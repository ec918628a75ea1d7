"""The quick start of docs/developers.md, line by line."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from tests.api.conftest import ApiDaemon

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/developers.md").read_text().partition("## Quick start: HTTP")[2]
QUICK = TEXT.partition("\n## ")[0]
BLOCKS = re.findall(r"```sh\n(.*?)```", QUICK, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", QUICK, re.DOTALL)


def run(command: list[str], daemon: ApiDaemon, **more: str) -> str:
    scripts = pathlib.Path(sys.executable).parent
    done = subprocess.run(
        command,
        env={**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}", **more},
        cwd=daemon.home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    one = ApiDaemon(tmp_path_factory.mktemp("quick"))
    try:
        yield one.start()
    finally:
        one.end()


def test_the_quick_start_works_line_by_line(daemon):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed (Debian: apt-get install curl)")
    create, export, *rest = BLOCKS
    key = re.search(r"psk_\S+", run(["sh", "-e", "-c", create], daemon))
    assert key is not None
    begin = export.replace("psk_...", key[0]).replace("127.0.0.1:8090", daemon.url[7:])
    script = begin + "\n" + "\n".join(rest)
    if b"--json" not in subprocess.run(["curl", "--help", "all"], capture_output=True).stdout:
        script = script.replace("--json", "-H 'Content-Type: application/json' -d")
    said = run(["sh", "-e", "-c", script], daemon)
    assert said.count('"accepted":1') == 2
    assert '"metadata":{"order":"4711"}' in said

    (program,) = PYTHON
    said = run(
        [sys.executable, "-c", program], daemon, PENSTOCK_URL=daemon.url, PENSTOCK_KEY=key[0]
    )
    lines = said.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ann@example.com", "accepted"],
        ["bob@example.org", "accepted"],
        ["nobody", "invalid"],
    ]
    assert lines[2] in QUICK
