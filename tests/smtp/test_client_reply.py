"""The reply parser: what comes out never depends on how the bytes were cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.smtp.client_reply import LINE_BYTES_MAX, LINES_MAX, ProtocolError, ReplyParser
from penstock.smtp.reply import Reply


def parse(*chunks: bytes) -> list[Reply | ProtocolError]:
    parser = ReplyParser()
    return [reply for chunk in chunks for reply in parser.feed(chunk)]


def test_one_line():
    assert parse(b"250 2.1.0 Ok\r\n") == [Reply(250, ("2.1.0 Ok",))]


@pytest.mark.parametrize("raw", [b"250\r\n", b"250 \r\n", b"250\n"])
def test_no_text(raw):
    assert parse(raw) == [Reply(250, ("",))]


def test_lf_alone_and_stray_cr_end_a_line():
    assert parse(b"250 a\n250 b\r\r\n") == [Reply(250, ("a",)), Reply(250, ("b",))]


def test_many_lines():
    assert parse(b"550-5.1.1 a\r\n550-\r\n550 5.1.1 b\r\n") == [
        Reply(550, ("5.1.1 a", "", "5.1.1 b"))
    ]


def test_last_code_counts():
    assert parse(b"250-a\r\n550 b\r\n") == [Reply(550, ("a", "b"))]


def test_pipelined_replies_in_one_chunk():
    codes = [reply.code for reply in parse(b"250 a\r\n250-b\r\n250 c\r\n354 d\r\n421")]
    assert codes == [250, 250, 354]


def test_a_line_seen_before_may_also_be_the_last_of_several():
    again = parse(b"250 ok\r\n", b"250 ok\r\n", b"250-first\r\n250 ok\r\n")
    assert again == [Reply(250, ("ok",)), Reply(250, ("ok",)), Reply(250, ("first", "ok"))]


def test_many_different_lines_are_not_all_remembered():
    parser = ReplyParser()
    for number in range(1000):
        assert parser.feed(b"250 queued as %d\r\n" % number) == [
            Reply(250, (f"queued as {number}",))
        ]
    assert len(parser._remembered) <= 16


def test_text_is_made_harmless():
    assert parse(b"550 a\tb\x1b[2Jc\x00\xff\r\n") == [Reply(550, ("a b?[2Jc?\ufffd",))]


def test_nothing_in_it_ends_a_line_or_turns_its_direction():
    text = "550 a\u2028b\u2029c\u202ed\u2066e\u0085f\u3000g\u00a0h\r\n"
    assert parse(text.encode()) == [Reply(550, ("a?b?c?d?e?f\u3000g\u00a0h",))]


@pytest.mark.parametrize(
    "raw",
    [b"\r\n", b"25 x\r\n", b"150 x\r\n", b"650 x\r\n", b"2x0 x\r\n", b"250ok\r\n", b"+50 x\r\n",
     b"HTTP/1.1 400 Bad Request\r\n", "٢٥٠ x\r\n".encode()],
)  # fmt: skip
def test_not_a_reply(raw):
    first, error = parse(b"220 hi\r\n" + raw + b"250 never seen\r\n")
    assert first == Reply(220, ("hi",))
    assert isinstance(error, ProtocolError)
    assert error.reply.code == 451
    assert error.reply.enhanced == "4.5.0"


def test_nothing_after_an_error():
    parser = ReplyParser()
    parser.feed(b"nonsense\n")
    assert parser.broken
    assert parser.feed(b"250 ok\r\n") == []


def test_bounds():
    longest = b"250 " + b"a" * (LINE_BYTES_MAX - 5) + b"\r\n"
    assert isinstance(parse(longest)[0], Reply)
    assert parse(b"x" * (LINE_BYTES_MAX + 1))[0] == ProtocolError("reply line too long")
    assert parse(b"250 a" + longest)[0] == ProtocolError("reply line too long")
    assert isinstance(parse(b"250-x\r\n" * (LINES_MAX - 1) + b"250 x\r\n")[0], Reply)
    assert parse(b"250-x\r\n" * (LINES_MAX + 1))[0] == ProtocolError("reply too long")
    assert parse((b"250-" + b"x" * 4000 + b"\r\n") * 20)[0] == ProtocolError("reply too long")


def test_a_never_ending_reply_takes_bounded_memory():
    parser = ReplyParser()
    out = [found for _ in range(10_000) for found in parser.feed(b"250-x\r\n")]
    assert out == [ProtocolError("reply too long")]
    assert parser._lines == []
    assert parser._partial == b""


lines = st.sampled_from(
    [b"250 ok\r\n", b"250-more\r\n", b"354\n", b"421 4.3.2 bye\r\n", b"garbage\r\n", b"250-\n",
     b"5", b"50 5.1.1 x\r\n", b"\r\n", b"y" * 1500]
)  # fmt: skip


@given(st.lists(lines, max_size=12).map(b"".join), st.data())
def test_any_chunking_gives_the_same(raw, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    edges = [0, *cuts, len(raw)]
    chunks = [raw[a:b] for a, b in itertools.pairwise(edges)]
    assert parse(*chunks) == parse(raw)


@given(st.binary(max_size=300))
def test_any_bytes_never_raise(raw):
    out = parse(raw)
    assert all(isinstance(found, Reply) for found in out[:-1])
    assert parse(*(raw[i : i + 1] for i in range(len(raw)))) == out
