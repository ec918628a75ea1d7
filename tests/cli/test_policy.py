"""``penstock policy``: what holds where, and which line says so; no daemon is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Penstock = Callable[..., Any]

FILES = {
    "default.toml": """\
[limits]
connections = 8
max_age_s = "2d"
[site."(mx1|mx2).slow.example"]
connections = 2
""",
    "providers/big.toml": """\
mx = [".big.example"]
domains = ["big.example"]
[limits]
provider_connections = 5
[[narrow]]
source = "s1"
connections = 3
[[narrow]]
tenant = "shop"
message_rate = "10/min"
""",
    "sources.toml": """\
[source.s1]
ipv4 = "192.0.2.1"
byte_rate = "5 MiB/s"
[pool.fast]
sources = { s1 = 3 }
""",
    "tenants.toml": """\
[tenant.shop]
weight = 3
class = "bulk"
pool = "fast"
[tenant.shop.campaign.spring]
window = "mon-fri 08:00-20:00 Europe/Berlin"
""",
}


def _write(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


@pytest.fixture
def policies(here: Path) -> Path:
    return _write(here / "policies", FILES)


def _rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_check_counts_what_there_is(penstock: Penstock, policies: Path) -> None:
    result = penstock("policy", "check", "--config", "config.toml")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "no problems: 1 providers, 1 sources, 2 pools, 1 tenants, 2 narrowings, "
        "0 reply rules, 0 warm-up plans\n"
    )


def test_check_shows_every_problem(penstock: Penstock, policies: Path) -> None:
    (policies / "sources.toml").write_text('[pool.a]\nsources = ["s9"]\noverflow = "a"\n')
    result = penstock("policy", "check", "--policies", "policies")
    assert result.exit_code == 2
    assert result.stdout.splitlines() == [
        (
            'policies/providers/big.toml:6: narrow[0].source: there is no source "s1"; '
            "sources: default"
        ),
        'policies/sources.toml:2: pool.a.sources[0]: there is no source "s9"; sources: default',
        "policies/sources.toml:3: pool.a.overflow: the overflow goes in a circle: a -> a",
        ('policies/tenants.toml:4: tenant.shop.pool: there is no pool "fast"; pools: a, default'),
    ]
    assert result.stderr == "penstock: policies: 4 problems\n"


def test_show_gives_the_line_of_each_value(penstock: Penstock, policies: Path) -> None:
    result = penstock("policy", "show", "big.example", "--source", "s1")
    assert (result.exit_code, result.stderr) == (0, "")
    rows = _rows(result.stdout)
    assert result.stdout.startswith("big.example (provider big, by its domain; source s1)\n")
    assert ["connections", "3", "policies/providers/big.toml:7"] in rows
    assert ["max_age_s", "2d", "policies/default.toml:3"] in rows
    assert ["provider_connections", "5", "policies/providers/big.toml:4"] in rows
    assert ["tls", "opportunistic", "built-in"] in rows
    assert ["source", "s1", "byte_rate", "5", "MiB/s", "policies/sources.toml:3"] in rows


def test_show_for_whose_mail_it_is(penstock: Penstock, policies: Path) -> None:
    result = penstock(
        *("policy", "show", "firm.example", "--mx", "a.big.example", "--mx", "b.big.example"),
        *("--tenant", "shop", "--campaign", "spring"),
    )
    assert (result.exit_code, result.stderr) == (0, "")
    rows = _rows(result.stdout)
    assert "(provider big, by its MX hosts; site (a|b).big.example)" in result.stdout
    assert ["class", "bulk", "policies/tenants.toml:3"] in rows
    assert ["pool", "fast", "(s1", "3)", "policies/tenants.toml:4"] in rows
    assert ["weight", "3", "policies/tenants.toml:2"] in rows
    window = ["window", "mon-fri", "08:00-20:00", "Europe/Berlin", "policies/tenants.toml:6"]
    assert window in rows
    cap = ["tenant", "shop", "at", "(a|b).big.example", "message_rate", "10/min"]
    assert [*cap, "policies/providers/big.toml:10"] in rows


def test_show_a_provider_and_a_site_by_name(penstock: Penstock, policies: Path) -> None:
    provider = penstock("policy", "show", "big").stdout
    assert provider.startswith("big (provider)\n")
    assert ["provider_connections", "5", "policies/providers/big.toml:4"] in _rows(provider)
    site = penstock("policy", "show", "(mx1|mx2).slow.example").stdout
    assert site.startswith("(mx1|mx2).slow.example (site)\n")
    assert ["connections", "2", "policies/default.toml:5"] in _rows(site)


def test_show_says_that_dns_is_not_asked(penstock: Penstock, policies: Path) -> None:
    result = penstock("policy", "show", "firm.example")
    assert result.stdout.startswith("firm.example (no provider)\n")
    assert "provider_connections" not in result.stdout
    assert result.stderr == (
        "penstock: no provider lists firm.example, and DNS is not asked here; "
        "say where its mail goes with --mx HOST, once for each host\n"
    )
    result = penstock("policy", "show", "firm.example", "--mx", "mx.firm.example")
    assert result.stderr == (
        "penstock: these MX hosts are no provider's, so firm.example has the limits for all\n"
    )


def test_show_for_programs(penstock: Penstock, policies: Path) -> None:
    shown = json.loads(
        penstock("policy", "show", "big.example", "--tenant", "shop", "--json").stdout
    )
    assert (shown["kind"], shown["provider"], shown["tenant"]) == ("domain", "big", "shop")
    age = {"name": "max_age_s", "value": "2d", "where": "policies/default.toml:3"}
    assert age in shown["limits"]
    assert {
        "field": "connections",
        "scope": "provider big",
        "key": "provider:big",
        "value": "5",
        "where": "policies/providers/big.toml:4",
        "level": "provider",
    } in shown["caps"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("big", "--source", "s2"), 'no source "s2"; there are: s1'),
        (("big", "--class", "bukl"), 'no class "bukl"; did you mean "bulk"?'),
        (("big", "--campaign", "x"), "a campaign is one of a tenant: give --tenant too"),
        (("a b",), "not a domain name: 'a b'"),
        (("x.example", "--mx", "a b"), "not a domain name: 'a b'"),
    ],
)
def test_show_what_is_not_there(
    penstock: Penstock, policies: Path, arguments: tuple[str, ...], reason: str
) -> None:
    result = penstock("policy", "show", *arguments)
    assert (result.exit_code, result.stderr) == (2, f"penstock: {reason}\n")


def test_diff_tells_what_changes_and_exits_as_diff_does(
    penstock: Penstock, policies: Path, tmp_path: Path
) -> None:
    changed = FILES["sources.toml"].replace("5 MiB/s", "10 MiB/s")
    _write(tmp_path / "new", FILES | {"sources.toml": f"# reviewed\n{changed}"})
    result = penstock("policy", "diff", "policies", "new")
    assert result.exit_code == 1
    assert result.stdout == "source s1: byte_rate: 5 MiB/s -> 10 MiB/s (new/sources.toml:4)\n"
    result = penstock("policy", "diff", "policies", "new", "--json")
    assert json.loads(result.stdout) == [
        {
            "scope": "source s1",
            "field": "byte_rate",
            "before": "5 MiB/s",
            "after": "10 MiB/s",
            "where": "new/sources.toml:4",
        }
    ]
    same = penstock("policy", "diff", "policies", "policies")
    assert (same.exit_code, same.stdout) == (0, "")
    broken = penstock("policy", "diff", "policies", "nowhere")
    assert broken.exit_code == 2


def test_schema_is_printed_or_written(penstock: Penstock, tmp_path: Path) -> None:
    one = json.loads(penstock("policy", "schema", "sources").stdout)
    every = json.loads(penstock("policy", "schema").stdout)
    names = ["default", "guards", "provider", "replies", "sources", "tenants", "warmup"]
    assert sorted(every) == names
    assert every["sources"] == one
    assert penstock("policy", "schema", "--to", str(tmp_path)).exit_code == 0
    assert json.loads((tmp_path / "sources.json").read_text()) == one
    assert sorted(path.name for path in tmp_path.glob("*.json")) == sorted(
        f"{k}.json" for k in every
    )
    wrong = penstock("policy", "schema", "source")
    assert wrong.stderr == 'penstock: no kind "source"; did you mean "sources"?\n'
