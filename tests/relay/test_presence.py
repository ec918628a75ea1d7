"""Which sources are here: what the kernel says of their addresses, and what has changed."""

from __future__ import annotations

import errno

from penstock.relay.presence import Change, Presence, SourceAddress, bind, missing_addresses

GONE = OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")


class Kernel:
    """Binds any address but those that are ``missing``; ``asked``: what it was asked about."""

    def __init__(self, **missing):
        self.missing = {}
        self.asked = []

    def __call__(self, address):
        self.asked.append(address)
        if address in self.missing:
            raise self.missing[address]


SOURCES = {
    "s1": SourceAddress("192.0.2.1"),
    "s2": SourceAddress("192.0.2.2", "2001:db8::2"),
    "any": SourceAddress(),
}


def test_an_address_goes_and_comes_back():
    kernel = Kernel()
    presence = Presence(SOURCES, kernel)
    assert presence.look() == []

    kernel.missing["192.0.2.1"] = GONE
    why = "192.0.2.1 is not an address of this machine"
    assert presence.look() == [Change("s1", False, why)]
    assert presence.look() == []  # no news
    assert presence.absent == {"s1": why}

    kernel.missing.clear()
    assert presence.look() == [Change("s1", True)]
    assert presence.absent == {}


def test_one_family_missing_is_the_source_missing():
    kernel = Kernel()
    kernel.missing["2001:db8::2"] = GONE
    presence = Presence(SOURCES, kernel)
    why = "2001:db8::2 is not an address of this machine"
    assert presence.look() == [Change("s2", False, why)]


def test_another_address_missing_instead_is_a_reason_anew_but_no_news():
    kernel = Kernel()
    presence = Presence(SOURCES, kernel)
    kernel.missing["2001:db8::2"] = GONE
    presence.look()
    kernel.missing["192.0.2.2"] = GONE
    assert presence.look() == []
    assert presence.absent == {"s2": "192.0.2.2 is not an address of this machine"}


def test_a_proxys_addresses_are_not_asked_about():
    kernel = Kernel()
    kernel.missing["192.0.2.9"] = GONE
    presence = Presence({"p": SourceAddress("192.0.2.9", proxied=True)}, kernel)
    assert presence.look() == []
    assert kernel.asked == []


def test_sources_that_share_an_address_ask_once():
    kernel = Kernel()
    presence = Presence({name: SourceAddress("192.0.2.1") for name in "abc"}, kernel)
    presence.look()
    assert kernel.asked == ["192.0.2.1"]
    kernel.missing["192.0.2.1"] = GONE
    assert [change.source for change in presence.look()] == ["a", "b", "c"]


def test_being_out_of_ports_or_sockets_is_no_absence():
    for number in (errno.EADDRINUSE, errno.EMFILE, errno.ENOBUFS):
        kernel = Kernel()
        kernel.missing["192.0.2.1"] = OSError(number, "no")
        assert Presence(SOURCES, kernel).look() == []


def test_other_sources_after_a_reload():
    kernel = Kernel()
    kernel.missing.update({"192.0.2.1": GONE, "192.0.2.2": GONE})
    presence = Presence(SOURCES, kernel)
    presence.look()
    presence.reload({"s1": SOURCES["s1"], "s3": SourceAddress("192.0.2.3")})
    assert list(presence.absent) == ["s1"]
    assert presence.look() == []
    kernel.missing.clear()
    assert presence.look() == [Change("s1", True)]


def test_addresses_of_this_machine_and_of_others():
    """The real thing: 192.0.2.0/24 and 2001:db8::/32 are nobody's (RFC 5737, RFC 3849)."""
    bind("127.0.0.77")
    asked = ["127.0.0.1", "192.0.2.1", "127.0.0.77", "2001:db8::1", "192.0.2.1"]
    assert missing_addresses(asked) == ["192.0.2.1", "2001:db8::1"]
