"""Where mail may not go, and what routes say."""

from __future__ import annotations

import pytest

from penstock.relay.addresses import interface_addresses, literal_address, why_forbidden
from penstock.relay.route import Route


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "loopback"),
        ("127.8.9.1", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("10.1.2.3", "private or reserved"),
        ("172.16.0.1", "private or reserved"),
        ("192.168.1.1", "private or reserved"),
        ("100.64.0.1", "private or reserved"),
        ("fd00::1", "private or reserved"),
        ("240.0.0.1", "private or reserved"),
        ("169.254.169.254", "link-local"),
        ("fe80::1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("8.8.8.8", "own"),
        ("::ffff:8.8.8.8", "own"),
        ("8.8.4.4", ""),
        ("2a00:1450::1", ""),
    ],
)
def test_why_forbidden(address, why):
    assert why_forbidden(address, {"8.8.8.8"}) == why


def test_literals():
    assert literal_address("[192.0.2.1]") == "192.0.2.1"
    assert literal_address("[IPv6:2001:DB8:0::1]") == "2001:db8::1"
    assert literal_address("[ipv6:::1]") == "::1"
    for bad in ("192.0.2.1", "[]", "[300.1.1.1]", "[example]", "[192.0.2.1"):
        assert literal_address(bad) is None


def test_interface_addresses():
    trie = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 192.0.2.7
        /32 host LOCAL
     |-- 192.0.2.255
        /32 link BROADCAST
"""
    inet6 = "20010db8000000000000000000000001 02 40 00 80 eth0\n"
    files = {"/proc/net/fib_trie": trie, "/proc/net/if_inet6": inet6}
    assert interface_addresses(files.__getitem__) == {"192.0.2.7", "2001:db8::1"}
    assert interface_addresses(lambda path: "") == frozenset()
    assert isinstance(interface_addresses(), frozenset)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.2:2626", "127.0.0.2", 2626),
        ("mx.example.com", "mx.example.com", 25),
        ("MX.example.com.:587", "mx.example.com", 587),
        ("[2001:DB8::1]:2525", "2001:db8::1", 2525),
        ("[::1]", "::1", 25),
        ("mailhog:1025", "mailhog", 1025),
    ],
)
def test_next_hops(text, host, port):
    route = Route.parse(["*"], text)
    assert (route.host, route.port) == (host, port)
    assert Route.parse(["*"], route.next_hop) == route


@pytest.mark.parametrize(
    "text",
    ["", ":25", "a b:25", "host:0", "host:65536", "host:x", "::1", "[mx.example]:25", "-x:25"],
)
def test_bad_next_hops(text):
    with pytest.raises(ValueError, match="next hop"):
        Route.parse(["*"], text)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("*", ["a", "b.c"], []),
        ("example.com", ["example.com"], ["a.example.com", "xexample.com"]),
        ("*.Example.com", ["a.example.com", "b.a.example.com"], ["example.com", "xexample.com"]),
    ],
)
def test_patterns(pattern, yes, no):
    route = Route.parse(["other.example", pattern], "x")
    assert all(route.matches(domain) for domain in yes)
    assert not any(route.matches(domain) for domain in no)
