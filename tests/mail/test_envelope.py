"""Message ids as text, and the domain that a recipient is queued under."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.mail.envelope import Envelope, Recipient, id_number, id_text


@given(st.integers(0, 2**64 - 1))
def test_ids_come_back(ref: int) -> None:
    text = id_text(ref)
    assert id_number(text) == id_number(text.upper()) == ref
    assert Envelope("", [], 0.0, ref).id == text


@pytest.mark.parametrize("text", ["", "u", "-1", "a b", "g" + "0" * 12])
def test_no_ids(text: str) -> None:
    with pytest.raises(ValueError, match="not a message id"):
        id_number(text)


def test_the_domain_of_a_recipient() -> None:
    assert Recipient("Bob@Example.NET").domain == "example.net"
    assert Recipient('"a@b"@example.net').domain == "example.net"
    assert Recipient("postmaster").domain == ""
