"""Layers, later wins: built-in, default, provider, site, domain; each value knows who set it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.policy import policies as policies_module
from penstock.policy.caps import CAP_FIELDS
from penstock.policy.limits import BUILT_IN, FIELDS, OF_PAIRS, Limits, Provenance
from penstock.policy.models import LimitsTable, ProviderLimitsTable
from penstock.policy.policies import Policies
from penstock.policy.rate import Rate

Load = Callable[[dict[str, str]], Policies]

FILES = {
    "default.toml": """\
[limits]
connections = 8
message_rate = "100/s"
provider_connections = 40

[site."mx.example.com"]
connections = 2

[domain."Example.ORG."]
connections = 1
message_rate = "unlimited"
""",
    "providers/big.toml": """\
mx = [".big.example"]
domains = ["big.example"]

[limits]
connections = 5
provider_message_rate = "10/s"

[domain."slow.example"]
retry_initial_s = "1h"
""",
}


def test_later_layers_win_and_what_they_leave_out_shows_through(load: Load) -> None:
    policies = load(FILES)
    assert policies.limits("", "", "").connections == 8
    assert policies.limits("big", "", "").connections == 5
    assert policies.limits("big", "mx.example.com", "").connections == 2
    assert policies.limits("big", "mx.example.com", "example.org").connections == 1
    assert policies.limits("big", "", "").message_rate == Rate(100, 1.0, 100)
    assert policies.limits("big", "", "example.org").message_rate is None
    assert policies.limits("big", "", "slow.example").retry_initial_s == 3600.0


def test_every_value_knows_the_file_and_line_that_set_it(load: Load) -> None:
    limits = load(FILES).limits("big", "mx.example.com", "example.org")
    assert str(limits.where("connections")) == "policies/default.toml:10"
    assert str(limits.where("message_rate")) == "policies/default.toml:11"
    assert str(limits.where("provider_message_rate")) == "policies/providers/big.toml:6"
    assert str(limits.where("provider_connections")) == "policies/default.toml:4"
    assert str(limits.where("tls")) == "built-in"
    with pytest.raises(KeyError):
        limits.where("colour")


def test_without_files_the_built_in_limits_hold(load: Load) -> None:
    limits = load({}).limits("gmail", "site", "gmail.com")
    assert limits == Limits()
    assert {limits.where(name) for name in FIELDS} == {BUILT_IN}


def test_a_cap_over_all_sites_of_a_provider_is_none_where_there_is_no_provider(load: Load) -> None:
    policies = load(FILES)
    assert policies.limits("big", "", "").provider_connections == 40
    assert policies.limits("", "", "").provider_connections is None
    assert policies.limits("unknown", "", "").provider_connections is None


def test_names_without_a_table_share_one_value(load: Load) -> None:
    policies = load(FILES)
    assert policies.limits("big", "a", "a.example") is policies.limits("big", "b", "b.example")
    assert policies.limits("", "", "EXAMPLE.org.") is policies.limits("", "", "example.org")
    assert policies.stats()["merged"] == 2


def test_the_cache_is_bounded(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies_module, "CACHE_ENTRIES_MAX", 2)
    policies = load(FILES)
    for domain in ("", "example.org", "slow.example", ""):
        policies.limits("big", "", domain)
        assert policies.stats()["merged"] <= 2


def test_the_tables_in_files_and_the_limits_have_the_same_fields_and_defaults() -> None:
    assert set(ProviderLimitsTable.model_fields) == set(FIELDS)
    table, limits = ProviderLimitsTable(), Limits()
    assert {n: getattr(table, n) for n in FIELDS} == {n: getattr(limits, n) for n in FIELDS}
    only_provider = set(ProviderLimitsTable.model_fields) - set(LimitsTable.model_fields)
    assert only_provider == {*(f"provider_{name}" for name in CAP_FIELDS), *OF_PAIRS}


def test_limits_can_be_laid_over_by_hand() -> None:
    place = Provenance("config.toml", 7)
    limits = Limits().overridden({"connections": 50}, {"connections": place})
    assert limits.connections == 50
    assert limits.where("connections") == place
    assert limits.where("tls") == BUILT_IN
