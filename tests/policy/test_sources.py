"""Sources and pools: what mail leaves from, and what cannot be meant."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.policy.egress import Proxy, Source, parse_proxy
from penstock.policy.load import load_policies
from penstock.policy.policies import Policies
from penstock.policy.rate import ByteRate

Load = Callable[[dict[str, str]], Policies]
Problems = Callable[[dict[str, str]], list[str]]

SOURCES = """\
[source.s1]
ipv4 = "192.0.2.1"
ipv6 = "2001:DB8:0::1"
ehlo = "Out1.Example.com."
connections = 100
byte_rate = "5 MiB/s"

[source.s2]
proxy = "socks5://proxy.example.com:1080"
proxy_user = "penstock"
proxy_password_file = "proxy.secret"

[pool.marketing]
sources = { s1 = 3, s2 = 1 }
overflow = "rest"

[pool.rest]
sources = ["s2"]
"""


def test_without_a_file_there_is_one_source_in_one_pool(load: Load) -> None:
    policies = load({})
    assert dict(policies.sources) == {"default": Source("default")}
    assert dict(policies.pools["default"].sources) == {"default": 1}
    assert policies.resolve_pool("", "", "")[0] == "default"


def test_a_source_is_addresses_a_name_a_proxy_and_limits(load: Load) -> None:
    s1, s2 = load({"sources.toml": SOURCES}).sources.values()
    assert (s1.ipv4, s1.ipv6, s1.ehlo) == ("192.0.2.1", "2001:db8::1", "out1.example.com")
    assert (s1.connections, s1.byte_rate) == (100, ByteRate.parse("5 MiB/s"))
    assert str(s1.where("byte_rate")) == "policies/sources.toml:6"
    assert str(s1.where("message_rate")) == "policies/sources.toml:1"  # its table
    assert s2.proxy == Proxy("socks5", "proxy.example.com", 1080)
    assert (s2.ipv4, s2.ehlo, s2.proxy_user) == ("", "", "penstock")


def test_a_password_file_counts_from_the_policies(load: Load) -> None:
    policies = load_policies({"sources.toml": SOURCES}, "policies", "/etc/penstock/policies")
    assert isinstance(policies, Policies)
    secret = policies.sources["s2"].proxy_password_file
    assert secret == "/etc/penstock/policies/proxy.secret"


def test_a_pool_weighs_its_sources_and_a_list_weighs_them_alike(load: Load) -> None:
    pools = load({"sources.toml": SOURCES}).pools
    assert dict(pools["marketing"].sources) == {"s1": 3, "s2": 1}
    assert pools["marketing"].overflow == "rest"
    assert dict(pools["rest"].sources) == {"s2": 1}


def test_the_default_pool_holds_all_sources_alike_unless_it_is_written(load: Load) -> None:
    assert dict(load({"sources.toml": SOURCES}).pools["default"].sources) == {"s1": 1, "s2": 1}
    written = SOURCES + '[pool.default]\nsources = ["s1"]\n'
    assert dict(load({"sources.toml": written}).pools["default"].sources) == {"s1": 1}


def test_pools_of_the_built_in_source(load: Load) -> None:
    pools = load({"sources.toml": '[pool.a]\nsources = ["default"]\n'}).pools
    assert sorted(pools) == ["a", "default"]


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("haproxy://192.0.2.9:2525", Proxy("haproxy", "192.0.2.9", 2525)),
        ("socks5://[2001:db8::9]:1080", Proxy("socks5", "2001:db8::9", 1080)),
    ],
)
def test_a_proxy_is_read_and_written(text: str, proxy: Proxy) -> None:
    assert parse_proxy(text) == proxy
    assert str(proxy) == text


def test_everything_that_cannot_be_meant_at_once(problems: Problems) -> None:
    text = """\
[source.s1]
ipv4 = "192.0.2.1"
[source.s2]
ipv4 = "192.0.2.1"
ipv6 = "192.0.2.2"
proxy = "socks5://h.example"
[source.s3]
ehlo = "x.example"
proxy_user = "a"
[source.s4]
proxy = "socks5://h.example:1080"
proxy_user = "a"
byte_rate = "0 MiB/s"
message_rate = "5 MiB/s"
[source."a b"]
ipv4 = "0.0.0.0"
[pool.main]
sources = { s1 = 0, s9 = 1001, s4 = 1, s33 = 1 }
overflow = "other"
[pool.other]
sources = ["s2", "s11"]
overflow = "main"
[pool.p3]
sources = []
overflow = "manes"
[pool.p4]
overflow = "p4"
"""
    assert problems({"sources.toml": text}) == [
        (
            'policies/sources.toml:4: source.s2.ipv4: 192.0.2.1 is the address of source "s1" '
            "(policies/sources.toml:2) too; two sources cannot share an address"
        ),
        (
            "policies/sources.toml:5: source.s2.ipv6: not an IPv6 address: '192.0.2.2'; "
            'write one like "2001:db8::1"'
        ),
        (
            "policies/sources.toml:6: source.s2.proxy: a proxy needs a port: "
            'write "socks5://h.example:PORT"'
        ),
        (
            "policies/sources.toml:7: source.s3: a source needs an address or a proxy; "
            "set ipv4, ipv6 or proxy"
        ),
        "policies/sources.toml:9: source.s3.proxy_user: only a SOCKS5 proxy asks for a user",
        "policies/sources.toml:12: source.s4.proxy_user: needs proxy_password_file too",
        (
            "policies/sources.toml:13: source.s4.byte_rate: a rate of 0 would never send; "
            "suspend the queue instead"
        ),
        (
            "policies/sources.toml:14: source.s4.message_rate: not a rate: '5 MiB/s'; "
            'write "100/min" or "100/min burst 20"'
        ),
        (
            'policies/sources.toml:15: source."a b": letters, digits and . _ - make a name, '
            "64 at most"
        ),
        "policies/sources.toml:16: source.\"a b\".ipv4: no mail leaves from '0.0.0.0'",
        ("policies/sources.toml:18: pool.main.sources.s1: must be at least 1, not the number 0"),
        (
            'policies/sources.toml:18: pool.main.sources.s33: there is no source "s33"; '
            'did you mean "s3"?'
        ),
        (
            "policies/sources.toml:18: pool.main.sources.s9: must be at most 1000, "
            "not the number 1001"
        ),
        (
            "policies/sources.toml:19: pool.main.overflow: the overflow goes in a circle: "
            "main -> other -> main"
        ),
        (
            'policies/sources.toml:21: pool.other.sources[1]: there is no source "s11"; '
            'did you mean "s1"?'
        ),
        "policies/sources.toml:24: pool.p3.sources: a pool without sources sends nothing",
        (
            'policies/sources.toml:25: pool.p3.overflow: there is no pool "manes"; '
            'did you mean "main"?'
        ),
        'policies/sources.toml:26: pool.p4: the key "sources" is missing',
        "policies/sources.toml:27: pool.p4.overflow: the overflow goes in a circle: p4 -> p4",
    ]


def test_no_name_is_missed_that_may_be_in_a_broken_statement(problems: Problems) -> None:
    files = {
        "default.toml": '[[narrow]]\nsource = "s1"\nconnections = 1\n',
        "sources.toml": '[source.s1\nipv4 = "192.0.2.1"\n[pool.a]\nsources = ["s1"]\n',
        "tenants.toml": '[tenant.shop]\npool = "b"\n',
    }
    assert problems(files) == [
        "policies/sources.toml:1: expected ']' at the end of a table declaration"
    ]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('"s1"', 'expected { s1 = 3, s2 = 1 }, or ["s1", "s2"] for equal weights'),
        ("[1]", 'expected names of sources in quotes, like ["s1", "s2"]'),
        ('["s1", "s1"]', "a source is named twice; write { NAME = WEIGHT } to weigh them"),
    ],
)
def test_what_is_no_list_of_sources(problems: Problems, value: str, reason: str) -> None:
    text = f'[source.s1]\nipv4 = "192.0.2.1"\n[pool.a]\nsources = {value}\n'
    found = problems({"sources.toml": text})
    assert found == [f"policies/sources.toml:4: pool.a.sources: {reason}"]
