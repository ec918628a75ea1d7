"""The shipped providers are told by the MX hosts that they have, and limited as published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.policy.difference import difference
from penstock.policy.policies import Policies
from penstock.policy.rate import Rate

Load = Callable[[dict[str, str]], Policies]

SHIPPED = Path(__file__).parents[2] / "policies"
EXAMPLES = ("sources.toml", "tenants.toml")
GOOGLE = ["gmail-smtp-in.l.google.com"] + [
    f"alt{n}.gmail-smtp-in.l.google.com" for n in range(1, 5)
]


@pytest.mark.parametrize(
    ("domain", "mx", "provider"),
    [
        ("gmail.com", GOOGLE, "gmail"),
        ("custom.example", ["ASPMX.L.GOOGLE.COM.", "alt1.aspmx.l.google.com."], "gmail"),
        ("custom.example", ["smtp.google.com"], "gmail"),
        ("custom.example", ["aspmx.l.google.com", "aspmx2.googlemail.com"], "gmail"),
        ("yahoo.com", ["mta5.am0.yahoodns.net", "mta6.am0.yahoodns.net"], "yahoo"),
        ("aol.com", ["mx-aol.mail.gm0.yahoodns.net"], "yahoo"),
        ("outlook.com", ["outlook-com.olc.protection.outlook.com"], "microsoft"),
        ("hotmail.fr", ["eur.olc.protection.outlook.com"], "microsoft"),
        ("contoso.com", ["contoso-com.mail.protection.outlook.com"], "microsoft365"),
        ("dane.example", ["dane-example.p-v1.mx.microsoft"], "microsoft365-dane"),
        ("comcast.net", ["mx1a1.comcast.net", "mx2a1.comcast.net"], "comcast"),
        ("firm.example", ["eu-smtp-inbound-1.mimecast.com"], "mimecast"),
        ("firm.example", ["d1.a.ess.barracudanetworks.com"], "barracuda"),
        ("yahoo.co.jp", ["mx1.mail.yahoo.co.jp", "mx2.mail.yahoo.co.jp"], "yahoo-japan"),
        ("planet.nl", [], "kpn"),
        ("163.com", ["163mx01.mxmail.netease.com"], "163"),
        ("rambler.ru", ["inmx.rambler.ru"], "rambler"),
        ("icloud.com", ["mx01.mail.icloud.com", "mx02.mail.icloud.com"], "apple"),
        ("mail.ru", ["mxs.mail.ru"], "mail.ru"),
        ("firm.example", ["emx.mail.ru"], "mail.ru"),
        ("yandex.ru", ["mx.yandex.ru"], "yandex"),
        ("firm.example", ["mx.yandex.net"], "yandex"),
        ("gmx.de", ["mx00.emig.gmx.net", "mx01.emig.gmx.net"], "gmx"),
        ("web.de", ["mx-ha02.web.de", "mx-ha03.web.de"], "web.de"),
        ("orange.fr", ["smtp-in.orange.fr"], "orange"),
        ("qq.com", ["mx1.qq.com", "mx2.qq.com", "mx3.qq.com"], "qq"),
        ("firm.example", ["mxbiz1.qq.com", "mxbiz2.qq.com"], "qq"),
        ("gmail.com", [], "gmail"),
        ("GMAIL.com.", [], "gmail"),
        ("vk.com", [], "mail.ru"),
        ("firm.example", [], ""),
        ("firm.example", ["mx.firm.example"], ""),
        ("firm.example", ["aspmx.l.google.com", "mx.firm.example"], ""),
        ("firm.example", ["aspmx.l.google.com", "mx.yandex.net"], ""),
        ("firm.example", ["mx.notgoogle.com"], ""),
        ("firm.example", ["google.com.mx.example"], ""),
    ],
)
def test_a_domain_belongs_to_who_takes_its_mail(
    shipped: Policies, domain: str, mx: list[str], provider: str
) -> None:
    assert shipped.provider_of(domain, mx) == provider


@pytest.mark.parametrize(
    ("provider", "connections", "over_all_sites", "per_connection", "tls"),
    [
        ("", 10, None, 100, "opportunistic"),
        ("gmail", 10, 5, 50, "required"),
        ("yahoo", 10, None, 20, "opportunistic"),
        ("microsoft", 10, 5, 50, "opportunistic"),
        ("microsoft365", 10, 5, 50, "opportunistic"),
        ("microsoft365-dane", 10, 5, 50, "opportunistic"),
        ("apple", 10, 10, 5, "opportunistic"),
        ("comcast", 25, None, 1000, "required"),
        ("mimecast", 10, None, 100, "opportunistic"),
        ("barracuda", 10, 10, 15, "required"),
        ("yahoo-japan", 2, None, 20, "opportunistic"),
        ("kpn", 10, None, 10, "opportunistic"),
        ("163", 4, None, 7, "opportunistic"),
        ("rambler", 10, None, 100, "opportunistic"),
        ("web.de", 4, None, 20, "required"),
        ("mail.ru", 10, None, 50, "opportunistic"),
        ("yandex", 10, None, 100, "opportunistic"),
        ("gmx", 4, None, 20, "required"),
        ("orange", 10, 2, 100, "required"),
        ("qq", 4, None, 8, "required"),
    ],
)
def test_figures(
    shipped: Policies,
    provider: str,
    connections: int,
    over_all_sites: int | None,
    per_connection: int,
    tls: str,
) -> None:
    limits = shipped.limits(provider, "", "")
    assert limits.connections == connections
    assert limits.provider_connections == over_all_sites
    assert limits.messages_per_connection == per_connection
    assert limits.tls == tls
    rates = {"yahoo-japan": "10/s"}
    assert limits.message_rate == Rate.parse(rates.get(provider, "100/s"))
    assert limits.connection_rate == Rate.parse("100/min")


def test_at_least_eighteen_providers_are_shipped(shipped: Policies) -> None:
    assert len(shipped.providers) >= 18


def test_every_shipped_file_opens_with_its_schema_and_where_its_figures_come_from(
    shipped_files: dict[str, str],
) -> None:
    for name, text in shipped_files.items():
        first, _, rest = text.partition("\n")
        directive, _, schema = first.partition(" ")
        assert directive == "#:schema", name
        assert (SHIPPED / name).parent.joinpath(schema).is_file(), name
        assert rest.startswith("# "), name
        if name.startswith("providers/"):
            assert "Where the figures come from: " in rest.partition("\n\n")[0], name
    assert "Where the figures come from: " in shipped_files["default.toml"]


def test_sources_and_tenants_are_shipped_as_examples_that_do_nothing(
    shipped: Policies, shipped_files: dict[str, str], load: Load
) -> None:
    without = load({n: t for n, t in shipped_files.items() if n not in EXAMPLES})
    assert difference(without, shipped) == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_in_shipped_files_are_right(
    shipped_files: dict[str, str], load: Load, name: str
) -> None:
    """With every comment that is TOML made TOML."""
    written = {
        example: "\n".join(
            line[2:] for line in shipped_files[example].splitlines() if _is_toml(line[2:])
        )
        for example in EXAMPLES
    }
    assert len(difference(load({}), load(written))) > 10
    assert written[name].count("[") >= 3


def _is_toml(line: str) -> bool:
    return line.startswith("[") or " = " in line


def test_the_longer_suffix_wins_where_one_lies_within_another(load: Load) -> None:
    policies = load(
        {
            "providers/wide.toml": 'mx = [".example.net"]',
            "providers/narrow.toml": 'mx = ["in.example.net"]',
        }
    )
    assert policies.provider_of("a.example", ["mx.in.example.net"]) == "narrow"
    assert policies.provider_of("a.example", ["in.example.net"]) == "narrow"
    assert policies.provider_of("a.example", ["mx.example.net"]) == "wide"
    # Every host ends with the wide suffix, only one with the narrow.
    assert policies.provider_of("a.example", ["mx.in.example.net", "mx.example.net"]) == "wide"


def test_domains_in_other_scripts_are_compared_by_their_a_labels(load: Load) -> None:
    policies = load({"providers/p.toml": 'domains = ["Пример.рф"]'})
    assert policies.provider_of("xn--e1afmkfd.xn--p1ai", ()) == "p"


def test_the_site_of_gmail(shipped: Policies) -> None:
    mx = list(zip([5, 10, 20, 30, 40], GOOGLE, strict=True))
    assert shipped.site_of(mx) == "(alt1|alt2|alt3|alt4)?.gmail-smtp-in.l.google.com"
