"""Settings from texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.policy.problem import in_order
from penstock.settings.loader import parse_settings
from penstock.settings.models import Settings

ROOT = Path(__file__).parents[2]
HASH = (
    "$argon2id$v=19$m=65536,t=3,p=4$MIIRqgvgQbgj220jfp0MPA"
    "$YfwJSVjtjSU0zzV/P3S9nnQ/USre2wvJMjfCIjrTQbg"
)


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture
def password_hash() -> str:
    return HASH


@pytest.fixture
def settings_of() -> Callable[[str], Settings]:
    """The settings in a text that must be without problems."""

    def settings_of(text: str) -> Settings:
        checked = parse_settings(text, "config.toml", "/etc/penstock")
        assert checked.problems == []
        assert checked.value is not None
        return checked.value

    return settings_of


@pytest.fixture
def problems_of() -> Callable[[str], list[str]]:
    """The problems of a text, as lines in order."""

    def problems_of(text: str) -> list[str]:
        checked = parse_settings(text, "config.toml", "/etc/penstock")
        return [str(problem) for problem in in_order(checked.problems)]

    return problems_of
