"""The SOCKS5 conversation, step by step and without a socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.relay.socks import Refused, Step, converse

GRANTED = ["05 00", "00 01 0a", "00 00 01 04 38"]


def talk(answers, *, address="192.0.2.25", user="", password=""):
    """What was sent, in hex, and how it ended; each answer must be as long as was asked for."""
    steps = converse(address, 25, user, password)
    step = next(steps)
    sent = []
    for answer in map(bytes.fromhex, answers):
        sent.append(step.send.hex(" "))
        assert step.need == len(answer)
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return sent, end.value
    raise AssertionError("it wants to hear more")


def test_without_a_login():
    sent, refused = talk(["05 00", *GRANTED])
    assert sent == ["05 01 00", "05 01 00 01 c0 00 02 19 00 19", "", ""]
    assert refused is None


def test_with_a_login():
    sent, refused = talk(["05 02", "01 00", *GRANTED], user="joe", password="pä")
    assert sent[:2] == ["05 02 00 02", "01 03 6a 6f 65 03 70 c3 a4"]
    assert refused is None


def test_a_login_that_is_not_asked_for_is_not_sent():
    sent, refused = talk(["05 00", *GRANTED], user="joe", password="secret")
    assert b"secret".hex(" ") not in " ".join(sent)
    assert refused is None


def test_to_an_ipv6_address():
    sent, _ = talk(["05 00", *GRANTED], address="2001:db8::19")
    assert sent[1] == "05 01 00 04 20 01 0d b8" + " 00" * 11 + " 19 00 19"


@pytest.mark.parametrize(
    "bound",
    [
        ["00 04 20", "00 " * 15 + "00 19"],
        ["00 03 03", "6d 2e 65 00 19"],
        ["00 03 00", "00 19"],
    ],
    ids=["ipv6", "name", "empty-name"],
)
def test_its_own_address_is_read_to_the_end_whatever_its_kind(bound):
    assert talk(["05 00", "05 00", *bound])[1] is None


@pytest.mark.parametrize(
    ("answers", "user", "refused"),
    [
        (["05 ff"], "", Refused("it asks for a login", "4.7.0")),
        (["05 ff"], "joe", Refused("it takes no login by user name", "4.7.0")),
        (["05 02"], "", Refused("it asks for a login of another kind", "4.7.0")),
        (["05 01"], "joe", Refused("it asks for a login of another kind", "4.7.0")),
        (["05 02", "01 01"], "joe", Refused("user name or password refused", "4.7.0")),
        (["04 00"], "", Refused("it does not speak SOCKS5", "4.5.0")),
        (["48 54"], "", Refused("it does not speak SOCKS5", "4.5.0")),
        (["05 00", "00 5b"], "", Refused("it does not speak SOCKS5", "4.5.0")),
        (["05 00", "05 00", "00 02 00"], "", Refused("it does not speak SOCKS5", "4.5.0")),
        (["05 00", "05 01"], "", Refused("general failure")),
        (["05 00", "05 07"], "", Refused("refused with code 7")),
        (["05 00", "05 63"], "", Refused("refused with code 99")),
    ],
)
def test_what_the_proxy_is_to_blame_for(answers, user, refused):
    assert talk(answers, user=user)[1] == refused
    assert not refused.about_host


@pytest.mark.parametrize("code", [2, 3, 4, 5, 6, 8])
def test_what_the_host_is_to_blame_for(code):
    """Whoever publishes an MX record chooses the address: he must not stop a source by it."""
    refused = talk(["05 00", f"05 {code:02x}"])[1]
    assert refused.about_host
    assert refused.enhanced == "4.4.1"


@given(st.binary(max_size=600), st.sampled_from(["", "joe"]))
def test_any_answers_come_to_an_end(data, user):
    steps = converse("192.0.2.25", 25, user, "secret")
    step = next(steps)
    asked = False
    while isinstance(step, Step):
        assert 0 < step.need <= 257
        assert step.asked or not asked  # once asked, always
        asked = step.asked
        answer, data = data[: step.need], data[step.need :]
        step = _send(steps, answer.ljust(step.need, b"\0"))
    assert isinstance(step.value, Refused | None)


def _send(steps, answer):
    try:
        return steps.send(answer)
    except StopIteration as end:
        return end
