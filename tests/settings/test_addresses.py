"""Addresses and networks as the settings write them."""

from __future__ import annotations

import pytest

from penstock.settings.addresses import parse_listen, parse_network, parse_next_hop


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:25", "127.0.0.1:25"),
        ("[0:0::1]:25", "[::1]:25"),
        (" LOCALHOST:0 ", "localhost:0"),
        ("0.0.0.0:65535", "0.0.0.0:65535"),
    ],
)
def test_where_to_listen(text: str, address: str) -> None:
    assert str(parse_listen(text)) == address


@pytest.mark.parametrize(
    "text", ["::1:25", "127.0.0.1", ":25", "127.0.0.1:", "1.2.3.4:99999", "x:1"]
)
def test_where_nobody_can_listen(text: str) -> None:
    with pytest.raises(ValueError):
        parse_listen(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("mx.example.com", "mx.example.com:25"),
        ("MX.example.com.:2525", "mx.example.com:2525"),
        ("192.0.2.1", "192.0.2.1:25"),
        ("2001:db8::1", "[2001:db8::1]:25"),
        ("[2001:db8::1]", "[2001:db8::1]:25"),
        ("[2001:db8::1]:26", "[2001:db8::1]:26"),
        ("bücher.example:26", "xn--bcher-kva.example:26"),
    ],
)
def test_next_hops(text: str, address: str) -> None:
    assert str(parse_next_hop(text)) == address


@pytest.mark.parametrize(
    "text", ["", "a b", "mx:0", "mx:x", "[mx]:25", "a:b:c", "mx:70000", "-x:25"]
)
def test_no_next_hops(text: str) -> None:
    with pytest.raises(ValueError):
        parse_next_hop(text)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [("127.9.9.9:25", True), ("[::1]:25", True), ("localhost:25", True), ("0.0.0.0:25", False)],
)
def test_loopback(text: str, loopback: bool) -> None:
    assert parse_listen(text).loopback is loopback
    assert not parse_next_hop("mx.example:25").loopback


def test_networks() -> None:
    assert str(parse_network("192.0.2.1")) == "192.0.2.1/32"
    assert str(parse_network("::1/128")) == "::1/128"
    for text in ("192.0.2.1/24", "x", "10.0.0.0/40"):
        with pytest.raises(ValueError):
            parse_network(text)
