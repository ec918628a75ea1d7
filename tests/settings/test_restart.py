"""What a reload may change, and what it must refuse."""

from __future__ import annotations

import pytest

from penstock.settings.loader import parse_settings
from penstock.settings.models import Settings
from penstock.settings.restart import restart_needed

BASE = """
hostname = "a.example"
[[smtp]]
listen = "127.0.0.1:2525"
[[route]]
domains = ["*"]
next_hop = "192.0.2.1:25"
"""


def settings(text: str) -> Settings:
    checked = parse_settings(text, "config.toml")
    assert checked.value is not None, checked.problems
    return checked.value


@pytest.mark.parametrize(
    ("before", "after", "needed"),
    [
        ("192.0.2.1:25", "192.0.2.2:25", []),
        ('["*"]', '["a.example"]', []),
        ("a.example", "b.example", ["hostname"]),
        ('hostname = "a.example"', 'hostname = "a.example"\ndelivery = "live"', ["delivery"]),
        ("127.0.0.1:2525", "127.0.0.1:2526", ["smtp[0].listen"]),
        ('"127.0.0.1:2525"', '"127.0.0.1:2525"\nrecipients_max = 200', ["smtp[0].recipients_max"]),
        (
            '[[smtp]]\nlisten = "127.0.0.1:2525"',
            '[[smtp]]\nlisten = "127.0.0.1:2525"\n[[smtp]]\nlisten = "127.0.0.1:2587"',
            ["smtp"],
        ),
    ],
)
def test_what_needs_a_restart(before: str, after: str, needed: list[str]) -> None:
    assert restart_needed(settings(BASE), settings(BASE.replace(before, after))) == needed
