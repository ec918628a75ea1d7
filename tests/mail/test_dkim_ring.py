"""Which keys sign: those that agree with the author's domain."""

from __future__ import annotations

from collections.abc import Callable

import dkim as dkimpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.mail.dkim import Signer
from penstock.mail.dkim_keys import PrivateKey
from penstock.mail.dkim_ring import SIGNERS_PER_DOMAIN_MAX, KeyRing, author_domain
from penstock.mail.headers import body_offset

NOW = 1_700_000_000.0


@pytest.fixture(scope="module")
def ring(rsa: PrivateKey, ed25519: PrivateKey) -> KeyRing:
    return KeyRing(
        [
            Signer("example.com", "r", rsa),
            Signer("example.com", "e", ed25519),
            Signer("news.example.com", "e", ed25519),
        ]
    )


def selectors(ring: KeyRing, domain: str) -> list[str]:
    return [f"{signer.selector}@{signer.domain}" for signer in ring.find(domain)]


def test_own_keys_then_the_nearest_parents(ring: KeyRing) -> None:
    assert selectors(ring, "example.com") == ["r@example.com", "e@example.com"]
    assert selectors(ring, "news.example.com") == ["e@news.example.com"]
    assert selectors(ring, "a.b.news.example.com") == ["e@news.example.com"]
    assert selectors(ring, "shop.example.com") == ["r@example.com", "e@example.com"]
    assert selectors(ring, "notexample.com") == []
    assert selectors(ring, "com") == []
    assert selectors(ring, "") == []
    assert len(ring) == 3
    assert list(ring.domains) == ["example.com", "news.example.com"]


def test_a_message_is_signed_by_its_author(ring: KeyRing, dns: Callable[..., bytes]) -> None:
    content = b"Subject: x\r\nfrom: Ann <ann@SHOP.Example.com>\r\n\r\nbody\r\n"
    fields = ring.sign(content, body_offset(content), NOW)
    assert fields.count(b"DKIM-Signature:") == 2
    message = dkimpy.DKIM(fields + content)
    assert message.verify(0, dnsfunc=dns)
    assert message.verify(1, dnsfunc=dns)
    assert ring.sign([content[:5], content[5:]], body_offset(content), NOW)[:40] == fields[:40]


@pytest.mark.parametrize(
    "content",
    [
        b"From: a@example.org\r\n\r\n",
        b"Sender: a@example.com\r\n\r\n",
        b"From: nobody\r\n\r\n",
        b"\r\nFrom: a@example.com\r\n",
        b"",
    ],
)
def test_others_are_not_signed(content: bytes, ring: KeyRing) -> None:
    assert ring.sign(content, body_offset(content), NOW) == b""


def test_an_empty_ring_signs_nothing() -> None:
    assert KeyRing().sign(b"From: a@example.com\r\n\r\n", 23, NOW) == b""


@pytest.mark.parametrize(
    ("value", "domain"),
    [
        (b" ann@example.com\r", "example.com"),
        (b" Ann <ann@Example.COM>\r", "example.com"),
        (b' "Ann, of <b@example.org>" <ann@example.com>', "example.com"),
        (b' "A \\" B" <ann@example.com>', "example.com"),
        (b" =?utf-8?q?Ann?= <ann@example.com>", "example.com"),
        (b" Ann\r\n\t<ann@example.com>", "example.com"),
        (b" (one) ann@example.com (two)", "example.com"),
        (b" ann@example.com, bob@example.org", "example.com"),
        (
            "<ann@b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example>".encode(),
            "xn--bcher-kva.example",
        ),
        (b" ann", ""),
        (b" <>", ""),
        (b"", ""),
        (b" a@-", "-"),
    ],
)
def test_the_authors_domain(value: bytes, domain: str) -> None:
    assert author_domain(value) == domain


@given(st.binary(max_size=200))
def test_any_from_at_all(value: bytes) -> None:
    domain = author_domain(value)
    assert domain == domain.lower()
    assert " " not in domain


def test_a_ring_refuses_what_is_ambiguous(ed25519: PrivateKey) -> None:
    with pytest.raises(ValueError, match="selector e given twice"):
        KeyRing([Signer("example.com", "e", ed25519), Signer("EXAMPLE.com", "E", ed25519)])
    many = [Signer("example.com", f"s{i}", ed25519) for i in range(SIGNERS_PER_DOMAIN_MAX + 1)]
    with pytest.raises(ValueError, match="over 8 keys"):
        KeyRing(many)
