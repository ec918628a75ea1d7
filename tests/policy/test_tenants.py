"""Tenants, campaigns and classes: what mail is, where it goes out, what is due to it and when."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.policy.policies import Policies

Load = Callable[[dict[str, str]], Policies]
Problems = Callable[[dict[str, str]], list[str]]

SOURCES = """\
[source.s1]
ipv4 = "192.0.2.1"
[pool.fast]
sources = ["s1"]
[pool.slow]
sources = ["s1"]
"""
TENANTS = """\
[class.bulk]
floor = 0.2
pool = "slow"

[tenant.shop]
weight = 3
class = "bulk"
window = "mon-fri 08:00-20:00 Europe/Berlin"

[tenant.shop.campaign.spring]
weight = 5
window = "daily 00:00-24:00 UTC"

[tenant.news]
pool = "fast"

[tenant."*"]
weight = 2
class = "transactional"
window = "daily 10:00-11:00 UTC"

[tenant."*".campaign."*"]
weight = 7
"""


@pytest.fixture
def policies(load: Load) -> Policies:
    return load({"sources.toml": SOURCES, "tenants.toml": TENANTS})


def _said(answer: tuple[str, object]) -> tuple[str, str]:
    return answer[0], str(answer[1])


def test_the_class_is_that_of_the_message_then_its_tenants(policies: Policies) -> None:
    assert _said(policies.resolve_class("shop", "triggered")) == ("triggered", "message")
    assert _said(policies.resolve_class("shop", "")) == ("bulk", "policies/tenants.toml:7")
    assert _said(policies.resolve_class("news", "")) == ("triggered", "built-in")
    assert _said(policies.resolve_class("x", "")) == ("transactional", "policies/tenants.toml:19")
    assert _said(policies.resolve_class("", "")) == ("triggered", "built-in")
    assert policies.resolve_class("shop", "of-old")[0] == "bulk"


def test_the_pool_is_that_of_the_message_then_its_tenants_then_its_classs(
    policies: Policies,
) -> None:
    assert _said(policies.resolve_pool("news", "bulk", "slow")) == ("slow", "message")
    assert _said(policies.resolve_pool("news", "bulk", "gone")) == (
        "fast",
        "policies/tenants.toml:15",
    )
    assert _said(policies.resolve_pool("shop", "", "")) == ("slow", "policies/tenants.toml:3")
    assert _said(policies.resolve_pool("shop", "triggered", "")) == ("default", "built-in")


def test_weights_and_floors(policies: Policies) -> None:
    assert policies.weights("shop", "spring") == (3, 5)
    assert policies.weights("shop", "other") == (3, 1)
    assert policies.weights("anybody", "anything") == (2, 7)
    assert policies.weights("", "") == (1, 1)
    assert dict(policies.floors()) == {"transactional": 0.0, "triggered": 0.1, "bulk": 0.2}


def test_a_campaigns_window_takes_the_place_of_its_tenants(policies: Policies) -> None:
    assert str(policies.window("shop", "", "bulk")) == "mon-fri 08:00-20:00 Europe/Berlin"
    assert str(policies.window("shop", "spring", "")) == "daily 00:00-24:00 UTC"
    _, where = policies.window_and_place("shop", "spring", "")
    assert str(where) == "policies/tenants.toml:12"
    assert policies.window("news", "", "bulk") is None
    assert policies.window("", "", "bulk") is None


def test_transactional_mail_waits_for_no_window(policies: Policies) -> None:
    assert policies.window("shop", "", "transactional") is None
    assert policies.window("anybody", "", "") is None  # its class is transactional
    assert policies.window("anybody", "", "bulk") is not None


def test_everything_that_cannot_be_meant_at_once(problems: Problems) -> None:
    text = """\
[class.bukl]
floor = 0.1
[class.bulk]
floor = 0.5
pool = "fats"
[class.triggered]
floor = 0.5
[tenant.shop]
weight = 0
clas = "bulk"
pool = "slo"
byte_rate = "0/s"
window = "mon-fri 08:00-08:00 Europe/Berlin"
[tenant.shop.campaign.spring]
pool = "fast"
[tenant.""]
class = "bukl"
"""
    assert problems({"sources.toml": SOURCES, "tenants.toml": text}) == [
        (
            "policies/tenants.toml:1: class.bukl: not a class of mail: 'bukl'; there are "
            'transactional, triggered, bulk; did you mean "bulk"?'
        ),
        ('policies/tenants.toml:5: class.bulk.pool: there is no pool "fats"; did you mean "fast"?'),
        (
            "policies/tenants.toml:7: class.triggered.floor: the floors leave nothing to share: "
            "1 together (transactional 0, triggered 0.5, bulk 0.5); keep their sum below 1"
        ),
        "policies/tenants.toml:9: tenant.shop.weight: must be at least 1, not the number 0",
        'policies/tenants.toml:10: tenant.shop.clas: unknown key; did you mean "class"?',
        (
            'policies/tenants.toml:11: tenant.shop.pool: there is no pool "slo"; '
            'did you mean "slow"?'
        ),
        (
            "policies/tenants.toml:12: tenant.shop.byte_rate: a size needs a unit, like "
            "\"64 MiB\" (B, KiB, MiB, GiB, TiB), in '0'"
        ),
        (
            "policies/tenants.toml:13: tenant.shop.window: '08:00-08:00' never opens; "
            'the whole day is "00:00-24:00"'
        ),
        (
            "policies/tenants.toml:15: tenant.shop.campaign.spring.pool: unknown key; "
            "keys here: byte_rate, connections, message_rate, weight, window"
        ),
        'policies/tenants.toml:16: tenant."": a name has 1 to 255 printable characters',
        (
            'policies/tenants.toml:17: tenant."".class: expected "transactional" or "triggered" '
            'or "bulk", not the text "bukl"; did you mean "bulk"?'
        ),
    ]
