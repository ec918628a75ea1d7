"""``[[narrow]]``: by source another value, by tenant or class a cap of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.policy.policies import Policies
from penstock.policy.rate import Rate

Load = Callable[[dict[str, str]], Policies]
Problems = Callable[[dict[str, str]], list[str]]

SOURCES = '[source.s1]\nipv4 = "192.0.2.1"\n[source.s2]\nipv4 = "192.0.2.2"\n'
LAYERS = {
    "sources.toml": SOURCES,
    "default.toml": """\
[limits]
connections = 20
[[narrow]]
source = "s1"
connections = 19
max_age_s = "1d"
[[narrow]]
source = "s1"
site = "mx.example.com"
connections = 15
[[narrow]]
source = "s1"
domain = "x.example"
connections = 11
[site."mx.example.com"]
connections = 16
[domain."x.example"]
connections = 12
""",
    "providers/big.toml": """\
mx = [".big.example"]
[limits]
connections = 18
[[narrow]]
source = "s1"
connections = 17
[[narrow]]
source = "s1"
site = "mx.example.com"
connections = 14
""",
}


@pytest.mark.parametrize(
    ("place", "without", "by_s1", "where"),
    [
        (("", "", ""), 20, 19, "policies/default.toml:5"),
        (("big", "", ""), 18, 17, "policies/providers/big.toml:6"),
        (("", "mx.example.com", ""), 16, 15, "policies/default.toml:10"),
        (("big", "mx.example.com", ""), 16, 14, "policies/providers/big.toml:10"),
        (("big", "mx.example.com", "X.example."), 12, 11, "policies/default.toml:14"),
    ],
)
def test_by_source_it_is_one_more_layer_above_each(
    load: Load, place: tuple[str, str, str], without: int, by_s1: int, where: str
) -> None:
    policies = load(LAYERS)
    assert policies.limits(*place).connections == without
    assert policies.limits(*place, "s2") is policies.limits(*place)
    narrowed = policies.limits(*place, "s1")
    assert narrowed.connections == by_s1
    assert str(narrowed.where("connections")) == where
    assert str(narrowed.where("max_age_s")) == "policies/default.toml:6"


MAIL = {
    "sources.toml": SOURCES,
    "default.toml": """\
[[narrow]]
tenant = "shop"
connections = 5
message_rate = "100/min"
provider_message_rate = "200/min"
[[narrow]]
tenant = "shop"
source = "s2"
message_rate = "50/min"
[[narrow]]
class = "bulk"
byte_rate = "1 MiB/s"
[[narrow]]
tenant = "shop"
class = "bulk"
message_rate = "10/min"
[[narrow]]
tenant = "shop"
domain = "x.example"
message_rate = "1/min"
""",
    "providers/big.toml": """\
mx = [".big.example"]
[[narrow]]
tenant = "shop"
message_rate = "500/min"
[[narrow]]
class = "bulk"
byte_rate = "unlimited"
""",
}


def _caps(
    policies: Policies, provider: str, source: str, tenant: str, class_: str, domain: str = ""
) -> list[str]:
    found = policies.lane_caps(provider, "mx", domain, source, tenant, "", class_)
    return [f"{c.scope}: {c.field} {c.value} [{c.key}] {c.level} ({c.where})" for c in found]


def test_by_tenant_it_is_a_cap_beside_those_for_all(load: Load) -> None:
    assert _caps(load(MAIL), "", "s1", "shop", "triggered") == [
        (
            "tenant shop at mx from s1: connections 5 [tenant:shop|site:s1|mx] tenant "
            "(policies/default.toml:3)"
        ),
        (
            "tenant shop at mx from s1: message_rate 100/min [tenant:shop|site:s1|mx] tenant "
            "(policies/default.toml:4)"
        ),
    ]
    assert _caps(load(MAIL), "", "s1", "other", "triggered") == []


def test_the_later_layer_wins_key_by_key(load: Load) -> None:
    assert _caps(load(MAIL), "big", "s1", "shop", "triggered") == [
        (
            "tenant shop at mx from s1: connections 5 [tenant:shop|site:s1|mx] tenant "
            "(policies/default.toml:3)"
        ),
        (
            "tenant shop at mx from s1: message_rate 500/min [tenant:shop|site:s1|mx] tenant "
            "(policies/providers/big.toml:4)"
        ),
        (
            "tenant shop at big from s1: message_rate 200/min [tenant:shop|provider:s1|big] "
            "tenant (policies/default.toml:5)"
        ),
    ]


def test_what_names_a_source_wins_within_its_layer(load: Load) -> None:
    caps = load(MAIL).lane_caps("", "mx", "", "s2", "shop", "", "triggered")
    rate = next(cap for cap in caps if cap.field == "message_rate")
    assert rate.value == Rate.parse("50/min")
    assert rate.key == "tenant:shop|site:s2|mx"


def test_tenant_class_and_both_count_apart(load: Load) -> None:
    found = _caps(load(MAIL), "", "default", "shop", "bulk")
    assert found[2:] == [
        (
            "class bulk at mx: byte_rate 1 MiB/s [bytes:class:bulk|site:mx] class "
            "(policies/default.toml:12)"
        ),
        (
            "tenant shop, class bulk at mx: message_rate 10/min "
            "[tenant:shop|class:bulk|site:mx] lane (policies/default.toml:16)"
        ),
    ]


def test_unlimited_lifts_a_cap_of_a_layer_below(load: Load) -> None:
    assert _caps(load(MAIL), "big", "s1", "other", "bulk") == []


def test_for_one_domain_it_counts_besides(load: Load) -> None:
    found = _caps(load(MAIL), "", "s1", "shop", "triggered", "X.example")
    assert found[1:] == [
        (
            "tenant shop at mx from s1: message_rate 100/min [tenant:shop|site:s1|mx] tenant "
            "(policies/default.toml:4)"
        ),
        (
            "tenant shop at x.example from s1: message_rate 1/min "
            "[tenant:shop|site:s1|mx#x.example] lane (policies/default.toml:20)"
        ),
    ]


def test_mail_that_names_no_class_is_narrowed_as_its_tenants_class(load: Load) -> None:
    files = MAIL | {"tenants.toml": '[tenant.shop]\nclass = "bulk"\n'}
    policies = load(files)
    assert _caps(policies, "", "s1", "shop", "") == _caps(policies, "", "s1", "shop", "bulk")


def test_everything_that_cannot_be_meant_at_once(problems: Problems) -> None:
    text = """\
[[narrow]]
source = "s3"
connections = 2
[[narrow]]
tenant = "shop"
max_age_s = "1d"
[[narrow]]
connections = 1
[[narrow]]
tenant = "*"
site = "a"
domain = "b.example"
provider_connections = 1
[[narrow]]
tenant = "x"
[[narrow]]
source = "s1"
retry_initial_s = "7d"
[[narrow]]
source = "s1"
connections = 1
[[narrow]]
clas = "bulk"
class = "bukl"
connections = 1
"""
    assert problems({"sources.toml": SOURCES, "default.toml": text}) == [
        ('policies/default.toml:2: narrow[0].source: there is no source "s3"; sources: s1, s2'),
        (
            "policies/default.toml:6: narrow[1].max_age_s: cannot be narrowed by tenant; what "
            "can: connections, message_rate, byte_rate, provider_connections, "
            "provider_message_rate, provider_byte_rate, tls, tls_min_version"
        ),
        (
            "policies/default.toml:7: narrow[2]: nothing says whose mail this is for; "
            "name a source, tenant or class"
        ),
        (
            'policies/default.toml:10: narrow[3].tenant: a narrowing names one tenant, not "*"; '
            "leave it out for all"
        ),
        (
            "policies/default.toml:12: narrow[3].domain: a narrowing is for a site or for a "
            "domain, not for both; leave one out"
        ),
        (
            "policies/default.toml:13: narrow[3].provider_connections: counts over all sites of "
            "a provider, so not for one site; write connections"
        ),
        "policies/default.toml:14: narrow[4]: narrows nothing: no limit is set here",
        (
            "policies/default.toml:18: narrow[5].retry_initial_s: the first delay, 7d, is longer "
            "than the longest, 4h; retry_max_s is set in built-in"
        ),
        (
            "policies/default.toml:19: narrow[6]: the same mail is narrowed in line 16; "
            "put the keys together"
        ),
        'policies/default.toml:23: narrow[7].clas: unknown key; did you mean "class"?',
        (
            'policies/default.toml:24: narrow[7].class: expected "transactional" or "triggered" '
            'or "bulk", not the text "bukl"; did you mean "bulk"?'
        ),
    ]


def test_the_built_in_source_can_be_named(load: Load) -> None:
    policies = load({"default.toml": '[[narrow]]\nsource = "default"\nconnections = 4\n'})
    assert policies.limits("", "mx", "", "default").connections == 4
    assert policies.site_caps("", "mx", "", "default")[0].value == 4


def test_tls_can_be_narrowed_by_tenant_and_class(load: Load) -> None:
    text = """\
[[narrow]]
tenant = "bank"
tls = "verified"
[[narrow]]
class = "bulk"
tls = "required"
tls_min_version = "1.3"
[[narrow]]
tenant = "bank"
domain = "partner.example"
tls = "required"
"""
    policies = load({"default.toml": text})

    def tls(domain: str, tenant: str, class_: str) -> list[str]:
        found = policies.narrowed_tls("", "mx", domain, tenant, class_)
        return [] if found is None else [f"{found.tls} {found.tls_min_version} {found.tls_where}"]

    assert tls("a.example", "bank", "") == ["verified None policies/default.toml:3"]
    assert tls("a.example", "bank", "bulk") == ["required 1.3 policies/default.toml:6"]
    assert tls("partner.example", "bank", "") == ["required None policies/default.toml:11"]
    assert tls("a.example", "shop", "") == []


def test_tls_of_a_part_of_the_mail_is_the_same_by_all_sources(problems: Problems) -> None:
    text = '[[narrow]]\ntenant = "bank"\nsource = "s1"\ntls = "verified"\n'
    assert problems({"sources.toml": SOURCES, "default.toml": text}) == [
        (
            "policies/default.toml:4: narrow[0].tls: is the same by all sources for a part of the "
            "mail; leave out the source"
        ),
    ]
