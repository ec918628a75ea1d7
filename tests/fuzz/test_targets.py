"""Every fuzz target, briefly: its corpus, and what hypothesis makes of its words."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.run import CORPUS, TARGETS, main

FILES = sorted(path for path in CORPUS.glob("*/*") if path.is_file())
CORPUS_BYTES_MAX = 200 << 10


def _inputs(target: Any) -> st.SearchStrategy[bytes]:
    piece = st.one_of(st.sampled_from(target.TOKENS), st.binary(max_size=8))
    return st.tuples(st.binary(min_size=2, max_size=2), st.lists(piece, max_size=14)).map(
        lambda drawn: drawn[0] + b"".join(drawn[1])
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_corpus(path: Path) -> None:
    import_module(f"tests.fuzz.{path.parent.name}").check(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_any_input(name: str) -> None:
    target = import_module(f"tests.fuzz.{name}")

    @settings(
        max_examples=120, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(_inputs(target))
    def check(data: bytes) -> None:
        target.check(data)

    check()


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0", b"\xff\xff", b"\xff" * 40])
@pytest.mark.parametrize("name", TARGETS)
def test_next_to_nothing(name: str, data: bytes) -> None:
    import_module(f"tests.fuzz.{name}").check(data)


def test_every_target_has_a_small_corpus() -> None:
    assert {path.parent.name for path in FILES} == set(TARGETS)
    assert sum(path.stat().st_size for path in FILES) <= CORPUS_BYTES_MAX


@pytest.mark.slow
def test_the_runner_fuzzes(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="has no wheel for every Python; make fuzz installs it")
    command = [sys.executable, "-m", "tests.fuzz.run", "reply", "--seconds", "1"]
    ran = subprocess.run(
        [*command, "--work", str(tmp_path)],
        cwd=CORPUS.parents[2],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "stat::number_of_executed_units" in ran.stderr
    assert list((tmp_path / "reply/found").iterdir())


def test_without_atheris_the_runner_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)
    with pytest.raises(SystemExit, match="need atheris, which is not installed"):
        main(["reply", "--seconds", "1"])
