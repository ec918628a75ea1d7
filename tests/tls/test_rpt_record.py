"""The record by which a domain asks for reports (RFC 8460 section 3)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.mail.tlsrpt_record import DESTINATIONS_MAX, Destination, destinations


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["v=TLSRPTv1; rua=mailto:reports@example.com"], ["mailto:reports@example.com"]),
        (["v=TLSRPTv1;rua=mailto:reports@EXAMPLE.com;"], ["mailto:reports@example.com"]),
        (["v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt"],
         ["https://reporting.example.com/v1/tlsrpt"]),
        (["v=TLSRPTv1; rua=mailto:a@example.com , https://example.com/"],
         ["mailto:a@example.com", "https://example.com/"]),
        (["v=TLSRPTv1; new=thing; rua=mailto:a%2Cb@example.com,mailto:b@example.com"],
         ["mailto:b@example.com"]),
        (["v=TLSRPTv1; rua=mailto:a%2Bb@example.com?subject=x"], ["mailto:a+b@example.com"]),
        (["v=TLSRPTv1; rua=mailto:a@example.com,mailto:a@example.com"], ["mailto:a@example.com"]),
        (["v=spf1 -all", "v=TLSRPTv1; rua=mailto:a@example.com"], ["mailto:a@example.com"]),
        (["v=TLSRPTv1; rua=mailto:a@example.com", "v=TLSRPTv1; rua=mailto:b@example.com"], []),
        (["v=TLSRPTv10; rua=mailto:a@example.com"], []),
        (["rua=mailto:a@example.com; v=TLSRPTv1"], []),
        (["v=TLSRPTv1"], []),
        (["v=TLSRPTv1; rua="], []),
        (["v=TLSRPTv1; rua=ftp://example.com/,http://example.com/"], []),
        (["v=TLSRPTv1; rua=https://user:pass@example.com/,https:///x,https://h:99999/"], []),
        (["v=TLSRPTv1; rua=mailto:nobody,mailto:@example.com,mailto:a b@example.com"], []),
        (["v=TLSRPTv1; rua=mailto:a%0d%0aBcc:x@example.com"], []),
        (["v=TLSRPTv1; rua=mailto:a@example.com;" + "x" * 5000], []),
        ([], []),
    ],
)  # fmt: skip
def test_what_is_asked_for(texts, found):
    assert [str(one) for one in destinations(texts)] == found


def test_no_more_than_some_are_told():
    many = ",".join(f"mailto:a{n}@example.com" for n in range(20))
    assert len(destinations([f"v=TLSRPTv1; rua={many}"])) == DESTINATIONS_MAX


@settings(deadline=None)
@given(st.lists(st.text(max_size=60), max_size=3), st.text(max_size=200))
def test_nothing_that_is_written_there_does_harm(others, rua):
    for one in destinations([*others, f"v=TLSRPTv1; rua={rua}"]):
        assert isinstance(one, Destination)
        assert one.target.isascii()
        assert one.target.isprintable()
        assert not set(one.target) & set(" \r\n<>,") or one.kind == "https"
