"""A suppression list of its own for each test."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from penstock.suppression.store import Store, Suppressions
from penstock.suppression.writer import SuppressionWriter


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    made = Store(str(tmp_path / "suppression"))
    yield made
    made.close()


@pytest.fixture
def writer(store: Store) -> SuppressionWriter:
    return SuppressionWriter(store)


@pytest.fixture
def suppressions(store: Store) -> Suppressions:
    return Suppressions(store)
