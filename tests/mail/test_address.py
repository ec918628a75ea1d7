"""One form for every spelling of a domain."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.mail import address

BUECHER = "b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example"


def test_split_at_the_last_at() -> None:
    assert address.split('"a@b"@example.com') == ('"a@b"', "example.com")
    assert address.split("nobody") == ("nobody", "")
    assert address.split("") == ("", "")


@pytest.mark.parametrize(
    ("given_", "normal"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        (BUECHER.upper(), "xn--bcher-kva.example"),
        (BUECHER + ".", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("localhost", "localhost"),
        ("_dmarc.example.com", "_dmarc.example.com"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]"),
    ],
)
def test_normal_domains(given_: str, normal: str) -> None:
    assert address.normal_domain(given_) == normal
    assert address.normal_domain(normal) == normal


@pytest.mark.parametrize(
    "bad",
    [
        "",
        ".",
        "a..b",
        ".a",
        "a b",
        "a" * 64 + ".b",
        "a." * 127 + "b.c",
        "a." * 130,
        "[1.2.3]",
        f"{BUECHER[1]}." * 100 + "example",  # too long only as A-labels
        "\N{EURO SIGN}\u200d.x y",
    ],
)
def test_no_domains(bad: str) -> None:
    with pytest.raises(ValueError, match=r"domain|literal"):
        address.normal_domain(bad)


def test_literals() -> None:
    assert address.literal("[192.0.2.1]") == IPv4Address("192.0.2.1")
    assert address.literal("[IPv6:2001:db8::1]") == IPv6Address("2001:db8::1")
    assert address.literal("[IPv6:fe80::1%eth0]") is None
    assert address.literal("[IPv6:192.0.2.1]") is None
    assert address.literal("192.0.2.1") is None
    assert address.is_literal("[192.0.2.1]")
    assert not address.is_literal("example.com")


def test_the_local_part_stays_as_it_is() -> None:
    assert address.normal("Ann.B@Example.COM.") == "Ann.B@example.com"
    for bad in ("ann", "@example.com", "ann@", "ann@a..b"):
        with pytest.raises(ValueError, match=r"not a"):
            address.normal(bad)


def test_the_form_for_servers_without_smtputf8() -> None:
    assert address.ascii_form("ann@example.com") == "ann@example.com"
    assert address.ascii_form(f"ann@{BUECHER}") == "ann@xn--bcher-kva.example"
    assert address.ascii_form(f"\N{LATIN SMALL LETTER U WITH DIAERESIS}@{BUECHER}") is None
    assert address.ascii_form("ann@\N{EURO SIGN}..x") is None


@given(st.text(max_size=80))
def test_any_text(text: str) -> None:
    try:
        normal = address.normal_domain(text)
    except ValueError:
        return
    assert normal.isascii()
    assert address.normal_domain(normal) == normal
