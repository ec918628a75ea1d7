"""Tokens: whoever has one back knows what it is about, and nobody else can make one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.mail import verp_keys
from penstock.mail.verp import (
    DAY_S,
    PURPOSES,
    BadToken,
    Key,
    Token,
    TokenKeys,
    address,
    find_token,
    make_token,
    read_token,
)

NOW = 1_790_000_000.0
TODAY = int(NOW) // DAY_S
KEYS = TokenKeys([Key("3", b"current" * 5), Key("2", b"before!" * 5)])
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"

purposes = st.sampled_from(PURPOSES)
refs = st.integers(0, (1 << 64) - 1)


def reason(keys: TokenKeys, text: str, now: float = NOW, days: float = 30) -> str:
    with pytest.raises(BadToken) as caught:
        read_token(keys, text, now, days)
    return caught.value.reason


@given(purposes, refs, st.booleans())
def test_what_goes_in_comes_out_whatever_becomes_of_the_case(
    purpose: str, ref: int, exact: bool
) -> None:
    token = make_token(KEYS, purpose, ref, exact, NOW)
    expected = Token(purpose, ref, exact, TODAY)
    assert read_token(KEYS, token, NOW, 0) == expected
    assert read_token(KEYS, token.upper(), NOW, 0) == expected
    assert read_token(KEYS, token.swapcase().title(), NOW, 0) == expected


@given(purposes, refs)
def test_the_address_fits_into_a_local_part(purpose: str, ref: int) -> None:
    token = make_token(KEYS, purpose, ref, True, NOW)
    local, _, domain = address(purpose, token, "b.example").partition("@")
    assert len(local) <= 64 - len("prvs=1234abcdef=")
    assert len(token) <= 48
    assert local.replace("-", "").isalnum()
    assert local == local.lower()
    assert domain == "b.example"


@given(purposes, refs, st.integers(0, 34 * 5 - 1))
def test_any_flipped_bit_is_refused(purpose: str, ref: int, bit: int) -> None:
    token = make_token(KEYS, purpose, ref, True, NOW)
    at, flip = bit // 5, 1 << bit % 5
    other = token[:at] + DIGITS[DIGITS.index(token[at]) ^ flip] + token[at + 1 :]
    assert reason(KEYS, other) in ("forged", "unknown-key", "malformed")


@given(st.text(max_size=60))
def test_anything_else_is_refused(text: str) -> None:
    assert reason(KEYS, text) in ("malformed", "forged", "unknown-key")


@given(st.text(alphabet=DIGITS, min_size=34, max_size=34))
def test_guesses_are_refused(text: str) -> None:
    assert reason(KEYS, text) in ("malformed", "forged", "unknown-key")


def test_what_it_is_for_is_signed() -> None:
    bounce, unsubscribe = (make_token(KEYS, purpose, 7, True, NOW) for purpose in "bu")
    assert reason(KEYS, bounce[0] + unsubscribe[1] + bounce[2:]) == "forged"
    message = make_token(KEYS, "b", 7, False, NOW)
    assert reason(KEYS, bounce[0] + message[1] + bounce[2:]) == "forged"


def test_it_is_good_for_so_many_days_and_no_more() -> None:
    token = make_token(KEYS, "b", 7, True, NOW)
    assert read_token(KEYS, token, NOW + 30 * DAY_S, 30).day == TODAY
    assert reason(KEYS, token, NOW + 31 * DAY_S, 30) == "expired"
    assert read_token(KEYS, token, NOW - DAY_S, 30).day == TODAY  # a clock that is behind
    assert reason(KEYS, token, NOW - 2 * DAY_S, 30) == "expired"


def test_keys_change_and_tokens_that_are_out_stay_good() -> None:
    old = TokenKeys([KEYS.keys[1]])
    token = make_token(old, "u", 9, True, NOW)
    assert read_token(KEYS, token, NOW, 30).ref == 9
    assert make_token(KEYS, "u", 9, True, NOW)[0] == "3"
    assert reason(TokenKeys([KEYS.keys[0]]), token) == "unknown-key"
    assert reason(TokenKeys([Key("2", b"another" * 5)]), token) == "forged"


@pytest.mark.parametrize("keys", [[], [Key("1", b"a" * 32), Key("1", b"b" * 32)]])
def test_keys_that_make_no_sense(keys: list[Key]) -> None:
    with pytest.raises(ValueError):
        TokenKeys(keys)


@pytest.mark.parametrize(
    "wrapped",
    [
        "b-{}",
        "<b-{}@b.example>",
        '"b-{}"@b.example',
        '<"b-{}"@b.example>',
        "rfc822; b-{}@b.example",
        "prvs=4711abcdef=b-{}@b.example",
        "prvs=b-{}/4711abcdef@b.example",
        "btv1==0123456789==b-{}@b.example",
        "SRS0=HHHH=TT=b.example=b-{}@forward.example",
        "SRS1=HHHH=first.example==HHHH=TT=b.example=b-{}@second.example",
        "b-{}+extension@b.example",
        "bounces=b-{}@b.example",
    ],
)
def test_it_is_found_in_addresses_that_others_have_wrapped(wrapped: str) -> None:
    token = make_token(KEYS, "b", 12345, True, NOW)
    for text in (wrapped.format(token), wrapped.format(token).upper()):
        found = find_token(text)
        assert found is not None
        assert found == ("b", token)


@pytest.mark.parametrize("text", ["", "ann@a.example", "b-", "b-0", "ab-{}", "b-{}x", "x-{}"])
def test_and_not_where_it_is_not(text: str) -> None:
    assert find_token(text.format(make_token(KEYS, "b", 1, True, NOW))) is None


# the file


def test_a_file_holds_what_it_was_given() -> None:
    keys = verp_keys.first_key(b"s" * 32, "2026-01-02")
    assert verp_keys.parse_keys(verp_keys.keys_text(keys)).keys == keys.keys


def test_rotation_puts_a_new_key_in_front_and_bounds_their_number() -> None:
    keys = verp_keys.first_key(b"0" * 32, "2026-01-01")
    for number in range(1, 40):
        keys = verp_keys.rotate(keys, bytes([number]) * 32, "2026-01-01")
        assert keys.current.secret == bytes([number]) * 32
        assert len(keys.keys) == min(number + 1, verp_keys.KEYS_MAX)
    assert verp_keys.parse_keys(verp_keys.keys_text(keys)).keys == keys.keys


def test_a_staged_key_signs_only_after_the_next_rotation() -> None:
    keys = verp_keys.first_key(b"0" * 32, "2026-01-01")
    both = verp_keys.stage(keys, b"1" * 32, "2026-01-02")
    assert both.current == keys.current
    with pytest.raises(ValueError, match="staged already"):
        verp_keys.stage(both, b"2" * 32, "2026-01-02")
    turned = verp_keys.rotate(both, b"2" * 32, "2026-01-03")
    assert turned.current.secret == b"1" * 32
    assert len(turned.keys) == 2
    assert verp_keys.staged(turned) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no key"),
        ("# nothing\n", "no key"),
        ("0 2026-01-01 c2hvcnQ=\n", "line 1: the secret"),
        ("\n0 2026-01-01 !\n", "line 2: the secret"),
        ("0 2026-01-01\n", "line 1 is not ID DAY SECRET"),
        ("i 2026-01-01 x\n", "line 1 is not"),
        ("01 2026-01-01 x\n", "line 1 is not"),
        ("0 today x\n", "line 1 is not"),
        ("0 2026-01-01 " + "A" * 44 + "\n0 2026-01-01 " + "B" * 44, "same id"),
    ],
)
def test_a_file_that_makes_no_sense_says_why(text: str, message: str) -> None:
    with pytest.raises(verp_keys.BadKeyFile, match=message):
        verp_keys.parse_keys(text)
