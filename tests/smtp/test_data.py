"""DATA and BDAT: where a message ends, what it holds, and what is refused."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.smtp.content import (
    BARE_NEWLINE,
    HAS_NUL,
    LONG_LINE,
    TOO_BIG,
    ContentRules,
    check,
)
from penstock.smtp.data import BDAT_SYNTAX, ChunkReader, DataReader, parse_bdat
from penstock.smtp.reply import Reply

RULES = ContentRules()
ACCEPT = ContentRules(bare_newlines="accept")


def read(
    wire: bytes, rules: ContentRules = RULES, cuts: tuple[int, ...] = ()
) -> tuple[object, bytes]:
    """The result (``None`` if the end was not found) and the bytes behind it."""
    reader = DataReader(rules)
    bounds = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    for start, stop in itertools.pairwise(bounds):
        piece = wire[start:stop]
        if piece:
            taken = reader.feed(b"xy" + piece, 2) - 2
            if reader.done:
                return reader.result(), wire[start + taken :]
            assert taken == len(piece)
    return None, b""


def stuff(content: bytes) -> bytes:
    return re.sub(rb"(?m)^\.", b"..", content) + b".\r\n"


def test_an_ordinary_message() -> None:
    assert read(b"Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n") == (
        b"Subject: x\r\n\r\nbody\r\n",
        b"QUIT\r\n",
    )


def test_an_empty_message() -> None:
    assert read(b".\r\nNOOP\r\n") == (b"", b"NOOP\r\n")


def test_dots_are_unstuffed() -> None:
    assert read(b"..\r\n..a\r\n.b\r\na.\r\n.\r\n")[0] == b".\r\n.a\r\nb\r\na.\r\n"


SMUGGLED = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r.\r",
    b"\r\r\n.\r\r\n",
    b"\r\n\x00.\r\n",
    b"\r\n.\x00\r\n",
    b"\r\n.\r\x00\n",
    b"\r\x00\n.\r\n",
    b"\n\n.\r\n\r\n",
    b"\r\n .\r\n",
]


@pytest.mark.parametrize("variant", SMUGGLED)
@pytest.mark.parametrize("rules", [RULES, ACCEPT])
def test_nothing_but_crlf_dot_crlf_ends_data(variant: bytes, rules: ContentRules) -> None:
    inner = b"MAIL FROM:<evil@example.com>\r\n"
    wire = b"a\r\nb" + variant + inner + b"\r\n.\r\n"
    for cuts in [(), tuple(range(len(wire)))]:
        result, rest = read(wire, rules, cuts)
        assert rest == b""
        assert isinstance(result, Reply) or inner in result  # type: ignore[operator]
        if variant != b"\r\n .\r\n" and rules is RULES:
            assert isinstance(result, Reply)
            assert result.code == 550


@pytest.mark.parametrize("bare", [b"\n", b"\r", b"\r\r\n", b"\n\r"])
def test_bare_newlines_are_refused_or_made_whole(bare: bytes) -> None:
    wire = b"a" + bare + b"b\r\n.\r\n"
    assert read(wire)[0] is BARE_NEWLINE
    content = read(wire, ACCEPT)[0]
    assert isinstance(content, bytes)
    assert re.fullmatch(rb"(?:[^\r\n]*\r\n)+", content)
    assert content.replace(b"\r\n", b"") == b"ab"


def test_dots_after_accepted_newlines() -> None:
    assert read(b"a\n..b\n.\nc\r\n.\r\n", ACCEPT)[0] == b"a\r\n.b\r\n\r\nc\r\n"


def test_codes_of_refusals() -> None:
    assert (BARE_NEWLINE.code, BARE_NEWLINE.enhanced) == (550, "5.6.11")
    assert (TOO_BIG.code, TOO_BIG.enhanced) == (552, "5.3.4")


def test_nul_is_refused() -> None:
    assert read(b"a\0b\r\n.\r\n")[0] is HAS_NUL


@pytest.mark.parametrize(("length", "refused"), [(998, False), (999, True)])
@pytest.mark.parametrize("lines_before", [0, 1, 2000])
def test_line_length(length: int, refused: bool, lines_before: int) -> None:
    content = b"x" * 60 + b"\r\n"
    content = content * lines_before + b"y" * length + b"\r\n"
    assert (read(content + b".\r\n")[0] is LONG_LINE) is refused


def test_a_line_longer_than_a_block_hides_no_bare_newline() -> None:
    long = b"z" * 65535 + b"\r\n" + b"z" * 200_000
    assert read(long + b"\r\n.\r\n")[0] is LONG_LINE
    assert read(long + b"\r" + long + b"\r\n.\r\n")[0] is BARE_NEWLINE
    assert read(long + b"\n" + long + b"\r\n.\r\n")[0] is BARE_NEWLINE


@pytest.mark.parametrize(("size", "refused"), [(90, False), (91, True), (1000, True)])
def test_size(size: int, refused: bool) -> None:
    rules = ContentRules(size_bytes_max=92)
    wire = b"x" * size + b"\r\n.\r\nQUIT"
    for cuts in [(), tuple(range(len(wire)))]:
        result, rest = read(wire, rules, cuts)
        assert (result is TOO_BIG) is refused
        assert rest == b"QUIT"


def test_stuffing_does_not_count() -> None:
    content = b".\r\n" * 30
    assert read(stuff(content), ContentRules(size_bytes_max=90))[0] == content
    assert read(stuff(content), ContentRules(size_bytes_max=89))[0] is TOO_BIG


def test_an_oversized_message_is_not_held() -> None:
    reader = DataReader(ContentRules(size_bytes_max=1000))
    for _ in range(100):
        reader.feed(b"x" * 100)
    assert reader.held == 0
    assert reader.size == 10_000
    reader.feed(b"\r\n.\r\n")
    assert reader.done
    assert reader.result() is TOO_BIG


def test_accepted_newlines_may_not_grow_over_the_limit() -> None:
    rules = ContentRules(size_bytes_max=20, bare_newlines="accept")
    assert read(b"\n" * 17 + b"\r\n.\r\n", rules)[0] is TOO_BIG


@pytest.mark.parametrize("bad", [{"size_bytes_max": 0}, {"line_bytes_max": 2}])
def test_senseless_rules(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="max"):
        ContentRules(**bad)  # type: ignore[arg-type]


_WIRE = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"..", b"a", b"\0", b"\r\n.", b"text"]),
    max_size=20,
).map(b"".join)
_CUTS = st.lists(st.integers(0, 60), max_size=8).map(tuple)


@given(_WIRE, _CUTS, st.sampled_from([RULES, ACCEPT, ContentRules(size_bytes_max=12)]))
@example(b"\r\n.\r", (1, 2, 3), RULES)
def test_cuts_change_nothing(wire: bytes, cuts: tuple[int, ...], rules: ContentRules) -> None:
    wire += b"\r\n.\r\nREST"
    assert read(wire, rules, cuts) == read(wire, rules)
    assert read(wire, rules, tuple(range(len(wire)))) == read(wire, rules)


@given(st.lists(st.sampled_from([b"", b".", b"..", b"a", b".a", b"a.", b" ."]), max_size=12), _CUTS)
def test_round_trip(lines: list[bytes], cuts: tuple[int, ...]) -> None:
    content = b"".join(line + b"\r\n" for line in lines)
    assert read(stuff(content) + b"QUIT", RULES, cuts) == (content, b"QUIT")


# -- BDAT -----------------------------------------------------------------------------------------


def chunked(chunks: list[bytes], rules: ContentRules = RULES, step: int = 0) -> bytes | Reply:
    reader = ChunkReader(rules)
    for number, chunk in enumerate(chunks):
        reader.begin(len(chunk), number == len(chunks) - 1)
        pos = 0
        while not reader.done:
            data = chunk[pos:] + b"NEXT" if not step else chunk[pos : pos + step]
            pos += reader.feed(data)
        assert pos == len(chunk)
    assert reader.last
    return reader.result()


def test_chunks_make_a_message() -> None:
    assert chunked([b"a\r", b"\n.\r\n", b"b\r\n"]) == b"a\r\n.\r\nb\r\n"
    assert chunked([b"a\r\n", b""]) == b"a\r\n"
    assert chunked([b""]) == b""


def test_a_missing_last_line_end_is_added() -> None:
    assert chunked([b"a\r\nb"]) == b"a\r\nb\r\n"


def test_chunks_are_checked_like_data() -> None:
    assert chunked([b"a\n", b"b\r\n"]) is BARE_NEWLINE
    assert chunked([b"a\0\r\n"]) is HAS_NUL
    assert chunked([b"x" * 999]) is LONG_LINE
    assert chunked([b"x" * 60, b"y" * 60], ContentRules(size_bytes_max=100)) is TOO_BIG


@given(_WIRE, st.integers(1, 7))
def test_how_a_chunk_comes_changes_nothing(content: bytes, step: int) -> None:
    assert chunked([content], step=step) == chunked([content])
    assert chunked([content[:3], content[3:]]) == chunked([content])


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"BDAT 10\r\n", (10, False)),
        (b"bdat 0 last\r\n", (0, True)),
        (b"BDAT 86 LAST \r\n", (86, True)),
        (b"BDAT\r\n", BDAT_SYNTAX),
        (b"BDAT -1\r\n", BDAT_SYNTAX),
        (b"BDAT x LAST\r\n", BDAT_SYNTAX),
        (b"BDAT 5 FIRST\r\n", BDAT_SYNTAX),
        (b"BDAT 5LAST\r\n", BDAT_SYNTAX),
        (b"BDAT " + b"9" * 19 + b"\r\n", BDAT_SYNTAX),
    ],
)
def test_bdat_commands(line: bytes, command: object) -> None:
    assert parse_bdat(line) == command


@given(_WIRE, _CUTS, st.sampled_from([RULES, ACCEPT]))
@example(b"a\r\n..\r\n.\r\n", (), RULES)
@example(b"a\n..b\n.\r\n\r\n.\r\n", (), ACCEPT)
def test_content_without_dots_need_not_be_looked_through_again(
    wire: bytes, cuts: tuple[int, ...], rules: ContentRules
) -> None:
    reader = DataReader(rules)
    for start, stop in itertools.pairwise([0, *sorted(min(c, len(wire)) for c in cuts), len(wire)]):
        if not reader.done:
            reader.feed(wire[start:stop])
    content = reader.result() if reader.done else b""
    if isinstance(content, bytes) and not reader.dotted:
        assert b"\n." not in content
        assert not content.startswith(b".")


@given(st.lists(st.integers(0, 40), max_size=40), st.sampled_from([b"\r\n", b""]))
def test_line_lengths_are_what_a_look_at_each_line_finds(lengths: list[int], end: bytes) -> None:
    content = b"\r\n".join(b"x" * length for length in lengths) + end
    longest = max((len(line) for line in content.split(b"\r\n")), default=0)
    found = check(content, ContentRules(line_bytes_max=20))
    assert found == (LONG_LINE if longest > 18 else content)
