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
