"""Every countable limit on a delivery's way, and the key that it is counted by."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.policy import policies as policies_module
from penstock.policy.caps import Cap
from penstock.policy.policies import Policies

Load = Callable[[dict[str, str]], Policies]

FILES = {
    "default.toml": """\
[limits]
connections = 10
connection_rate = "100/min"
byte_rate = "5 MiB/s"
[domain."own.example"]
message_rate = "20/min"
[domain."young.example"]
max_age_s = "1h"
""",
    "providers/big.toml": """\
mx = [".big.example"]
[limits]
provider_connections = 5
provider_connection_rate = "60/min"
provider_message_rate = "50/s"
provider_byte_rate = "1 MiB/s"
""",
    "sources.toml": """\
[source.default]
ipv4 = "192.0.2.1"
[source.s1]
ipv4 = "192.0.2.2"
connections = 100
connection_rate = "10/s"
message_rate = "1000/h"
byte_rate = "1 GiB/h"
""",
    "tenants.toml": """\
[tenant.shop]
message_rate = "10/s"
connections = 3
[tenant.shop.campaign.spring]
byte_rate = "1 MiB/min"
[tenant."*"]
message_rate = "1/s"
""",
}


@pytest.fixture
def policies(load: Load) -> Policies:
    return load(FILES)


def _lines(caps: tuple[Cap, ...]) -> list[str]:
    return [f"{c.key} {c.field} {c.value} {c.level}" for c in caps]


def test_a_site_of_no_provider_from_the_default_source(policies: Policies) -> None:
    caps = policies.site_caps("", "mx", "", "default")
    assert _lines(caps) == [
        "site:mx connections 10 site",
        "connect:site:mx connection_rate 100/min site",
        "bytes:site:mx byte_rate 5 MiB/s site",
    ]
    assert {cap.scope for cap in caps} == {"site mx"}
    assert str(caps[2].where) == "policies/default.toml:4"
    assert policies.site_caps("", "mx", "", "") is caps


def test_a_site_of_a_provider_from_a_source_with_limits(policies: Policies) -> None:
    caps = policies.site_caps("big", "mx", "", "s1")
    assert _lines(caps) == [
        "site:s1|mx connections 10 site",
        "connect:site:s1|mx connection_rate 100/min site",
        "bytes:site:s1|mx byte_rate 5 MiB/s site",
        "provider:s1|big connections 5 provider",
        "connect:provider:s1|big connection_rate 60/min provider",
        "provider:s1|big message_rate 50/s provider",
        "bytes:provider:s1|big byte_rate 1 MiB/s provider",
        "source:s1 connections 100 source",
        "connect:source:s1 connection_rate 10/s source",
        "source:s1 message_rate 1000/h source",
        "bytes:source:s1 byte_rate 1 GiB/h source",
    ]
    assert {cap.scope for cap in caps} == {"site mx from s1", "provider big from s1", "source s1"}


def test_a_domain_with_limits_of_its_own_counts_for_the_shared_site_too(
    policies: Policies,
) -> None:
    caps = policies.site_caps("", "mx", "Own.example.", "default")
    assert _lines(caps) == [
        "site:mx#own.example connections 10 site",
        "connect:site:mx#own.example connection_rate 100/min site",
        "site:mx#own.example message_rate 20/min site",
        "bytes:site:mx#own.example byte_rate 5 MiB/s site",
        "site:mx connections 10 site",
        "connect:site:mx connection_rate 100/min site",
        "bytes:site:mx byte_rate 5 MiB/s site",
    ]
    assert caps[0].scope == "domain own.example at mx"
    assert str(caps[2].where) == "policies/default.toml:6"


def test_a_domain_has_a_site_of_its_own_for_connections_and_rates_only(policies: Policies) -> None:
    assert policies.has_own_site("", "mx", "own.example")
    assert not policies.has_own_site("", "mx", "young.example")
    assert not policies.has_own_site("", "mx", "other.example")
    assert not policies.has_own_site("", "mx", "")
    shared = policies.site_caps("", "mx", "", "default")
    assert policies.site_caps("", "mx", "young.example", "default") is shared


def test_what_a_tenant_and_its_campaign_count_against(policies: Policies) -> None:
    caps = policies.lane_caps("big", "mx", "x.example", "s1", "shop", "spring", "bulk")
    assert _lines(caps) == [
        "tenant:shop connections 3 tenant",
        "tenant:shop message_rate 10/s tenant",
        "bytes:campaign:shop/spring byte_rate 1 MiB/min campaign",
    ]
    assert [cap.scope for cap in caps] == ["tenant shop", "tenant shop", "campaign shop/spring"]


def test_each_tenant_without_a_table_has_the_limits_for_any(policies: Policies) -> None:
    (a,) = policies.lane_caps("", "mx", "", "s1", "a", "", "")
    (b,) = policies.lane_caps("", "mx", "", "s1", "b", "", "")
    assert (a.key, b.key) == ("tenant:a", "tenant:b")
    assert str(a.where) == str(b.where) == "policies/tenants.toml:7"
    assert policies.lane_caps("", "mx", "", "s1", "", "", "") == ()


def test_no_two_senders_share_a_key_by_the_way_they_are_called(load: Load) -> None:
    policies = load(
        {"tenants.toml": '[tenant."*"]\n[tenant."*".campaign."*"]\nmessage_rate = "1/s"\n'}
    )
    named = [("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"), ("a|site:x", "c")]
    keys = [policies.lane_caps("", "", "", "", *names, "")[0].key for names in named]
    assert len(set(keys)) == len(named)


def test_keys_within_one_answer_are_distinct_by_kind(policies: Policies) -> None:
    caps = policies.site_caps("big", "mx", "own.example", "s1")
    counted = [(cap.field == "connections", cap.key) for cap in caps]
    assert len(set(counted)) == len(counted)


def test_lanes_of_one_sender_share_one_answer_wherever_they_go(policies: Policies) -> None:
    one = policies.lane_caps("big", "mx", "a.example", "s1", "shop", "", "bulk")
    assert policies.lane_caps("", "my", "b.example", "default", "shop", "", "") is one


def test_what_counts_over_all_sites_is_one_value_for_all_of_them(policies: Policies) -> None:
    a, b = (policies.site_caps("big", site, "", "s1") for site in ("mx", "my"))
    assert all(one is other for one, other in zip(a[3:], b[3:], strict=True))
    assert a[0].key != b[0].key


def test_the_caches_are_bounded(policies: Policies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies_module, "CACHE_ENTRIES_MAX", 3)
    for n in range(10):
        caps = policies.site_caps("big", f"mx{n}", "", "s1")
        assert caps[0].key == f"site:s1|mx{n}"
        assert policies.lane_caps("", "", "", "", f"t{n}", "", "")[0].key == f"tenant:t{n}"
        assert policies.stats()["caps"] <= 9
