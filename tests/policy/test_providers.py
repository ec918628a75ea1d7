"""The shipped providers are told by the MX hosts that they have, and limited as published."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.policy.policies import Policies
from penstock.policy.rate import Rate

Load = Callable[[dict[str, str]], Policies]

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
        ("dane.example", ["dane-example.p-v1.mx.microsoft"], "microsoft365"),
        ("icloud.com", ["mx01.mail.icloud.com", "mx02.mail.icloud.com"], "apple"),
        ("mail.ru", ["mxs.mail.ru"], "mail.ru"),
        ("firm.example", ["emx.mail.ru"], "mail.ru"),
        ("yandex.ru", ["mx.yandex.ru"], "yandex"),
        ("firm.example", ["mx.yandex.net"], "yandex"),
        ("gmx.de", ["mx00.emig.gmx.net", "mx01.emig.gmx.net"], "gmx"),
        ("web.de", ["mx-ha02.web.de", "mx-ha03.web.de"], "gmx"),
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
        ("apple", 10, 10, 5, "opportunistic"),
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
    assert limits.message_rate == Rate.parse("100/s")
    assert limits.connection_rate == Rate.parse("100/min")


def test_every_shipped_file_opens_by_saying_where_its_figures_come_from(
    shipped_files: dict[str, str],
) -> None:
    assert len(shipped_files) >= 11
    for name, text in shipped_files.items():
        comment = text.partition("\n\n")[0] if name != "default.toml" else text
        assert text.startswith("# "), name
        assert "Where the figures come from: " in comment, name


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
