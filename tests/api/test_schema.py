"""schemathesis for some seconds; ``python -m tests.api.fuzz`` is the same for longer."""

from __future__ import annotations

import pathlib

import pytest
from tests.api.fuzz import fuzz, start

SECONDS = 15


@pytest.mark.slow
def test_schemathesis_finds_nothing(tmp_path: pathlib.Path) -> None:
    daemon = start(tmp_path)
    try:
        assert fuzz(daemon, SECONDS, seed=1) == []
    finally:
        daemon.end()
