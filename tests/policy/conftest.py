"""Policies from texts, and the ones that are shipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.policy.load import load_policies
from penstock.policy.policies import Policies

SHIPPED = Path(__file__).parents[2] / "policies"


@pytest.fixture(scope="session")
def shipped_files() -> dict[str, str]:
    return {
        path.relative_to(SHIPPED).as_posix(): path.read_text("utf-8")
        for path in sorted(SHIPPED.rglob("*.toml"))
    }


@pytest.fixture(scope="session")
def shipped(shipped_files: dict[str, str]) -> Policies:
    loaded = load_policies(shipped_files)
    assert isinstance(loaded, Policies), "\n".join(map(str, loaded))
    return loaded


@pytest.fixture
def load() -> Callable[[dict[str, str]], Policies]:
    """Loads what must be without problems."""

    def load(files: dict[str, str]) -> Policies:
        loaded = load_policies(files)
        assert isinstance(loaded, Policies), "\n".join(map(str, loaded))
        return loaded

    return load


@pytest.fixture
def problems() -> Callable[[dict[str, str]], list[str]]:
    """Loads what must have problems, and gives them as lines."""

    def problems(files: dict[str, str]) -> list[str]:
        loaded = load_policies(files)
        assert isinstance(loaded, list)
        return [str(problem) for problem in loaded]

    return problems
