"""Content as DATA takes it: dots stuffed wherever chunks were cut, ended by CRLF."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.relay.content import stuffed, stuffed_slices


def unstuffed(raw: bytes) -> bytes:
    """What a receiver makes of it, line by line."""
    lines = raw.split(b"\n")
    return b"\n".join(line[1:] if line.startswith(b".") else line for line in lines)


@pytest.mark.parametrize(
    ("chunks", "out"),
    [
        ([b"a\r\n"], b"a\r\n"),
        ([b".\r\n"], b"..\r\n"),
        ([b"a\r\n", b".b\r\n"], b"a\r\n..b\r\n"),
        ([b"a\r\n.", b".b\r\n"], b"a\r\n...b\r\n"),
        ([b"a\r", b"\n", b"", b".\r\n"], b"a\r\n..\r\n"),
        ([b"a"], b"a\r\n"),
        ([b"a\r"], b"a\r\n"),
        ([b"a", b"\r", b"\n"], b"a\r\n"),
        ([b"a\n"], b"a\n\r\n"),
        ([b"\n"], b"\n\r\n"),
        ([b"a.b\r\n"], b"a.b\r\n"),
        ([], b""),
        ([b""], b""),
    ],
)
def test_examples(chunks, out):
    assert stuffed(chunks) == out
    assert b"".join(stuffed_slices(chunks)) == out


pieces = st.lists(
    st.sampled_from([b".", b"\n", b"\r", b"\r\n", b"a", b"", b"\r\n.\r\n"]), max_size=14
)


@given(pieces, st.integers(1, 4))
def test_slices_are_the_same_bytes(chunks, slice_bytes):
    assert b"".join(stuffed_slices(chunks, slice_bytes)) == stuffed(chunks)


@given(pieces)
def test_nothing_inside_looks_like_the_end(chunks):
    out = stuffed(chunks)
    content = b"".join(chunks)
    assert unstuffed(out).startswith(content)
    assert len(unstuffed(out)) <= len(content) + 2
    assert not out or out.endswith(b"\r\n")
    assert b"\n.\r" not in out
    assert b"\n.\n" not in out
    assert not out.startswith((b".\r", b".\n"))


def test_large_content_is_cut_into_slices_without_another_whole_copy():
    big = b"x" * 78 + b"\r\n"
    slices = list(stuffed_slices([big * 10_000], 65536))
    assert max(map(len, slices)) <= 65536
    assert b"".join(slices) == big * 10_000
