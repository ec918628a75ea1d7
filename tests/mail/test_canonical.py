"""Our canonical forms are dkimpy's, byte for byte, and found in bulk."""

from __future__ import annotations

import pytest
from dkim.canonicalization import Relaxed, Simple
from hypothesis import given
from hypothesis import strategies as st

from penstock.mail import canonical

# Every way for blanks and line ends to meet, and characters that only look like blanks.
pieces = st.lists(
    st.sampled_from(
        [b" ", b"\t", b"\r\n", b"a", b"word", b"\r", b"\x0b", b"\x00", b"\xff", b"  \r\n"]
    ),
    max_size=30,
).map(b"".join)


@given(pieces, st.booleans())
def test_bodies_equal_dkimpys(text: bytes, relaxed: bool) -> None:
    whole = b"H: v\r\n\r\n" + text
    on_the_wire = text if text.endswith(b"\r\n") else text + b"\r\n"
    expected = (Relaxed if relaxed else Simple).canonicalize_body(on_the_wire)
    assert bytes(canonical.body(whole, 8, relaxed)) == expected


@given(st.lists(st.tuples(st.sampled_from([b"From", b"sUbject", b"X"]), pieces), max_size=6))
def test_fields_equal_dkimpys(pairs: list[tuple[bytes, bytes]]) -> None:
    folded = [(name, value.replace(b"\r\n", b"\r\n ") + b"\r\n") for name, value in pairs]
    block = b"".join(name + b":" + value for name, value in folded)
    fields = canonical.parse(block + b"\r\nbody\r\n", len(block) + 2)
    relaxed = b"".join(n + b":" + v for n, v in Relaxed.canonicalize_headers(folded))
    everything = range(len(folded))
    assert fields.relaxed(everything) == relaxed
    assert fields.simple(everything) == block


@pytest.mark.parametrize("relaxed", [True, False])
def test_many_blank_lines_at_the_end(relaxed: bool) -> None:
    body = b"text\r\n" + b"\r\n" * 5000
    assert canonical.body(b"\r\n" + body, 2, relaxed) == b"text\r\n"
    assert canonical.body(b"\r\n" * 5000, 2, relaxed) == (b"" if relaxed else b"\r\n")


def test_a_body_in_canonical_form_is_not_copied_twice() -> None:
    body = b"one two\r\nthree\r\n"
    result = canonical.body(body, 0, True)
    assert result is body


def test_lines_that_are_no_fields_are_passed_over() -> None:
    content = b"From: a\r\nnot a field: x\r\n folded\r\nTo : b\r\n\r\nX: y\r\n"
    fields = canonical.parse(content, content.index(b"X: y"))
    assert fields.names == [b"from", b"to"]
    assert fields.relaxed([0, 1]) == b"from:a\r\nto:b\r\n"
