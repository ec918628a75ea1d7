"""What a reload would change, by meaning."""

from __future__ import annotations

from collections.abc import Callable

from penstock.policy.difference import difference
from penstock.policy.policies import Policies

Load = Callable[[dict[str, str]], Policies]

OLD = {
    "default.toml": '[limits]\nconnections = 10\nmessage_rate = "100/s"\n',
    "providers/gmail.toml": 'mx = [".google.com"]\n[limits]\nmessages_per_connection = 50\n',
    "providers/gone.toml": 'mx = [".gone.example"]\n[limits]\nconnections = 1\n',
}


def _changes(load: Load, old: dict[str, str], new: dict[str, str]) -> list[str]:
    return [str(change) for change in difference(load(old), load(new))]


def test_which_provider_which_value_from_what_to_what(load: Load) -> None:
    new = {
        "default.toml": '[limits]\nconnections = 12\nmessage_rate = "unlimited"\n'
        '[domain."x.example"]\nmax_age_s = "1d"\n[site.mx]\nconnections = 1\n',
        "providers/gmail.toml": 'mx = [".google.com", ".googlemail.com"]\n'
        'domains = ["gmail.com"]\n[limits]\nmessages_per_connection = 20\n'
        "provider_connections = 5\n",
        "providers/new.toml": 'mx = [".new.example"]\n[limits]\nconnections = 3\n',
    }
    assert _changes(load, OLD, new) == [
        "default: connections: 10 -> 12 (policies/default.toml:2)",
        "default: message_rate: 100/s -> unlimited (policies/default.toml:3)",
        "provider gmail: mx: added googlemail.com",
        "provider gmail: domains: added gmail.com",
        "provider gmail: messages_per_connection: 50 -> 20 (policies/providers/gmail.toml:4)",
        "provider gmail: provider_connections: unlimited -> 5 (policies/providers/gmail.toml:5)",
        "provider gone: removed provider",
        "provider new: added provider",
        "provider new: mx: added new.example",
        "provider new: connections: 10 -> 3 (policies/providers/new.toml:3)",
        "site mx: connections: 10 -> 1 (policies/default.toml:7)",
        "domain x.example: max_age_s: 432000 -> 86400 (policies/default.toml:5)",
    ]


def test_text_that_means_the_same_is_no_change(load: Load) -> None:
    new = OLD | {
        "default.toml": "# new comment\n\n[limits]\n"
        'message_rate = "100/1s burst 100"\nconnections = 10\ntls = "opportunistic"\n',
        "providers/gmail.toml": 'mx = ["google.com"]\nlimits.messages_per_connection = 50\n',
    }
    assert _changes(load, OLD, new) == []


def test_a_value_that_is_no_longer_set_falls_back_and_says_to_what(load: Load) -> None:
    new = OLD | {"providers/gmail.toml": 'mx = [".google.com"]\n'}
    assert _changes(load, OLD, new) == [
        "provider gmail: messages_per_connection: 50 -> 100 (built-in)"
    ]


def test_an_inherited_value_is_reported_where_it_is_set_only(load: Load) -> None:
    new = OLD | {"default.toml": OLD["default.toml"] + "retry_jitter = 0.5\n"}
    assert _changes(load, OLD, new) == [
        "default: retry_jitter: 0.2 -> 0.5 (policies/default.toml:4)"
    ]


ADDRESS = 'ipv4 = "192.0.2.'


def test_sources_and_pools(load: Load) -> None:
    old = {
        "sources.toml": f'[source.s1]\n{ADDRESS}1"\nconnections = 5\n[source.gone]\n{ADDRESS}9"\n'
        '[pool.a]\nsources = { s1 = 1, gone = 1 }\n[pool.old]\nsources = ["s1"]\n',
    }
    new = {
        "sources.toml": f'[source.s1]\n{ADDRESS}1"\nehlo = "a.example"\n'
        f'[source.s2]\n{ADDRESS}2"\nbyte_rate = "1 MiB/s"\n'
        '[pool.a]\nsources = { s1 = 3, s2 = 1 }\noverflow = "default"\n',
    }
    assert _changes(load, old, new) == [
        "source s1: ehlo: added a.example (policies/sources.toml:3)",
        "source s1: connections: 5 -> unlimited (policies/sources.toml:1)",
        "source s2: added source (policies/sources.toml:4)",
        "source s2: ipv4: added 192.0.2.2 (policies/sources.toml:5)",
        "source s2: byte_rate: unlimited -> 1 MiB/s (policies/sources.toml:6)",
        "source gone: removed source",
        "pool a: overflow: added default (policies/sources.toml:9)",
        "pool old: removed pool",
        "pool a: weight of s1: 1 -> 3 (policies/sources.toml:8)",
        "pool a: weight of s2: added 1 (policies/sources.toml:8)",
        "pool a: weight of gone: removed 1 (policies/sources.toml:8)",
        "pool default: weight of s2: added 1 (built-in)",
        "pool default: weight of gone: removed 1 (built-in)",
    ]


def test_classes_tenants_and_campaigns(load: Load) -> None:
    new = {
        "tenants.toml": """\
[class.bulk]
floor = 0.2
[tenant.shop]
weight = 3
class = "bulk"
window = "daily 08:00-20:00 UTC"
[tenant.shop.campaign.spring]
message_rate = "10/s"
"""
    }
    assert _changes(load, {}, new) == [
        "class bulk: floor: 0.05 -> 0.2 (policies/tenants.toml:2)",
        "tenant shop: added tenant (policies/tenants.toml:3)",
        "tenant shop: class: added bulk (policies/tenants.toml:5)",
        "tenant shop: weight: 1 -> 3 (policies/tenants.toml:4)",
        "tenant shop: window: added daily 08:00-20:00 UTC (policies/tenants.toml:6)",
        "campaign shop/spring: added campaign (policies/tenants.toml:7)",
        "campaign shop/spring: message_rate: unlimited -> 10/s (policies/tenants.toml:8)",
    ]
    assert _changes(load, new, {}) == [
        "class bulk: floor: 0.2 -> 0.05 (built-in)",
        "tenant shop: removed tenant",
        "campaign shop/spring: removed campaign",
    ]
    assert _changes(load, new, new) == []


def test_narrowings(load: Load) -> None:
    old = {
        "default.toml": '[[narrow]]\ntenant = "shop"\nconnections = 1\nmessage_rate = "1/s"\n'
        '[[narrow]]\nclass = "bulk"\nconnections = 2\n',
    }
    new = {
        "default.toml": '# moved\n[[narrow]]\ntenant = "shop"\nconnections = 3\n',
        "providers/a.toml": 'mx = ["a.example"]\n'
        '[[narrow]]\ntenant = "shop"\nclass = "bulk"\nmessage_rate = "2/s"\n',
    }
    assert _changes(load, old, new)[2:] == [
        "narrow class bulk: connections: removed 2",
        "narrow tenant shop: connections: 1 -> 3 (policies/default.toml:4)",
        "narrow tenant shop: message_rate: removed 1/s",
        (
            "narrow tenant shop, class bulk, provider a: message_rate: added 2/s "
            "(policies/providers/a.toml:5)"
        ),
    ]
