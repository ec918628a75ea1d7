"""Signatures, verified by dkimpy and, where it is installed, by OpenDKIM."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import dkim as dkimpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.mail import dkim
from penstock.mail.dkim import Options, Signer, sign
from penstock.mail.dkim_keys import PrivateKey, record_text
from penstock.mail.headers import body_offset

NOW = 1_700_000_000.5
MESSAGE = (
    b"Received: from a by b; Tue, 14 Nov 2023 22:13:20 +0000\r\n"
    b"From: Ann <ann@example.com>\r\n"
    b"To: bob@example.net,\r\n\t  carol@example.net\r\n"
    b"Subject:  A   subject \r\n"
    b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
    b"List-Unsubscribe: <https://example.com/u/1>\r\n"
    b"\r\n"
    b"Hello  Bob,\t \r\n\r\nBye\r\n\r\n\r\n"
)
Dns = Callable[..., bytes]


@pytest.fixture(scope="module")
def pair(rsa: PrivateKey, ed25519: PrivateKey) -> list[Signer]:
    return [Signer("example.com", "r", rsa), Signer("Example.COM.", "e", ed25519)]


def signed(content: bytes, signers: list[Signer]) -> bytes:
    return sign(content, body_offset(content), signers, NOW) + content


def verdicts(content: bytes, dns: Dns, count: int) -> list[bool]:
    message = dkimpy.DKIM(content, logger=logging.getLogger("test"))
    out = []
    for index in range(count):
        try:
            out.append(message.verify(index, dnsfunc=dns))
        except dkimpy.ValidationError:
            out.append(False)
    return out


def tags(field: bytes) -> dict[str, str]:
    text = re.sub(rb"\s+", b"", field.partition(b":")[2]).decode("ascii")
    return dict(item.split("=", 1) for item in text.split(";"))


def test_both_kinds_verify(pair: list[Signer], dns: Dns) -> None:
    assert verdicts(signed(MESSAGE, pair), dns, 2) == [True, True]


def test_content_may_come_in_pieces(pair: list[Signer]) -> None:
    whole = sign(MESSAGE, body_offset(MESSAGE), pair, NOW)
    pieces = [MESSAGE[:10], b"", MESSAGE[10:200], MESSAGE[200:]]
    assert sign(pieces, body_offset(MESSAGE), pair, NOW) == whole
    assert sign([MESSAGE], body_offset(MESSAGE), pair, NOW) == whole


def test_without_signers_there_is_nothing() -> None:
    assert sign(MESSAGE, body_offset(MESSAGE), [], NOW) == b""


@pytest.mark.parametrize("header", ["relaxed", "simple"])
@pytest.mark.parametrize("body", ["relaxed", "simple"])
def test_all_four_forms_verify(
    header: dkim.Form, body: dkim.Form, rsa: PrivateKey, ed25519: PrivateKey, dns: Dns
) -> None:
    options = Options(header=header, body=body)
    signers = [Signer("example.com", "r", rsa, options), Signer("example.com", "e", ed25519)]
    assert verdicts(signed(MESSAGE, signers), dns, 2) == [True, True]


def test_the_field_itself(pair: list[Signer]) -> None:
    field = sign(MESSAGE, body_offset(MESSAGE), pair[:1], NOW)
    assert field.startswith(b"DKIM-Signature: v=1; a=rsa-sha256;")
    assert field.endswith(b"\r\n")
    assert max(map(len, field.split(b"\r\n"))) < 78
    assert all(line.startswith(b"\t") for line in field.split(b"\r\n")[1:-1])
    found = tags(field)
    assert found["d"] == "example.com"
    assert found["s"] == "r"
    assert found["t"] == "1700000000"
    assert found["c"] == "relaxed/relaxed"
    assert "x" not in found
    assert "i" not in found
    names = found["h"].split(":")
    assert names.count("from") == 2
    assert names.count("cc") == 1  # absent, so that none may be added
    assert "received" not in names
    assert "sender" not in names  # signed only where present


def test_expiry_and_identity(rsa: PrivateKey, dns: Dns) -> None:
    century = 100 * 365 * 86400
    options = Options(lifetime_s=century, identity="news@mail.example.com")
    message = signed(MESSAGE, [Signer("example.com", "r", rsa, options)])
    assert verdicts(message, dns, 1) == [True]
    found = tags(message.partition(b"\r\nReceived")[0])
    assert int(found["x"]) == 1_700_000_000 + century
    assert found["i"] == "news@mail.example.com"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"From: Ann", b"From: Eve <eve@example.com>\r\nFrom: Ann"),
        (b"Subject:", b"Subject: another\r\nSubject:"),
        (b"Subject:", b"Cc: eve@example.com\r\nSubject:"),
        (b"Subject:", b"List-Unsubscribe-Post: x\r\nSubject:"),
        (b"Subject:", b"Reply-To: eve@example.com\r\nSubject:"),
        (b"Hello", b"hello"),
        (b"/u/1", b"/u/2"),
    ],
)
def test_changes_and_additions_break_it(
    old: bytes, new: bytes, pair: list[Signer], dns: Dns
) -> None:
    head, _, rest = signed(MESSAGE, pair).partition(b"Received:")
    assert verdicts(head + b"Received:" + rest.replace(old, new, 1), dns, 2) == [False, False]


def test_what_relaxed_forgives(pair: list[Signer], dns: Dns) -> None:
    message = signed(MESSAGE, pair)
    changed = message.replace(b"Subject:  A   subject ", b"subject: A\r\n subject")
    changed = changed.replace(b"Hello  Bob,\t ", b"Hello Bob, ") + b"\r\n"
    assert changed != message
    assert verdicts(changed, dns, 2) == [True, True]


def test_other_lists_of_fields(rsa: PrivateKey, dns: Dns) -> None:
    options = Options(signed=("From", "X-Id"), oversigned=("subject",))
    content = b"X-Id: 1\r\nX-Id: 2\r\n" + MESSAGE
    message = signed(content, [Signer("example.com", "r", rsa, options)])
    assert tags(message.partition(b"\r\nX-Id")[0])["h"] == "from:x-id:x-id:subject:subject"
    assert verdicts(message, dns, 1) == [True]


def test_a_field_repeated_without_end_is_signed_from_below(rsa: PrivateKey, dns: Dns) -> None:
    content = b"To: x@y.z\r\n" * 500 + MESSAGE
    message = signed(content, [Signer("example.com", "r", rsa)])
    names = tags(message.partition(b"\r\nTo")[0])["h"].split(":")
    assert names.count("to") == dkim.REPEATS_MAX
    assert verdicts(message, dns, 1) == [True]


blank = st.sampled_from([b"", b" ", b"\t", b"  ", b" \t ", b"\r\n ", b" \r\n\t"])
word = st.binary(max_size=12).map(lambda raw: re.sub(rb"[\r\n]", b"", raw))
value = st.lists(st.one_of(word, blank), max_size=8).map(b"".join)
name = st.sampled_from(
    [b"From", b"Subject", b"To", b"DATE", b"cc", b"Content-Type", b"X-Other", b"list-unsubscribe"]
)
line = st.lists(st.one_of(word, st.sampled_from([b" ", b"\t", b"  "])), max_size=6).map(b"".join)
text = st.lists(line, max_size=8).map(b"\r\n".join)
ends = st.sampled_from([b"", b"\r\n", b"\r\n\r\n", b" \r\n\t\r\n\r\n", b"\r\n" * 40])
form = st.sampled_from(["relaxed", "simple"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(name, value), max_size=8), text, ends, form, form)
def test_any_message_verifies(
    rsa: PrivateKey,
    ed25519: PrivateKey,
    dns: Dns,
    pairs: list[tuple[bytes, bytes]],
    text: bytes,
    ends: bytes,
    header: dkim.Form,
    body: dkim.Form,
) -> None:
    # A blank folded line would be dkimpy's end of header in some of its steps: keep a visible end.
    fields = b"From: a@example.com\r\n" + b"".join(n + b": " + v + b".\r\n" for n, v in pairs)
    content = fields + b"\r\n" + text + ends
    options = Options(header=header, body=body)
    signers = [Signer("example.com", "e", ed25519, options)]
    if len(pairs) < 2:
        signers.append(Signer("example.com", "r", rsa, options))
    message = sign(content, len(fields) + 2, signers, NOW) + content
    if not message.endswith(b"\r\n"):
        message += b"\r\n"  # as SMTP carries it
    assert verdicts(message, dns, len(signers)) == [True] * len(signers)


@pytest.mark.parametrize("tail", [b"", b"no line end", b"\r", b"one\r\ntwo"])
def test_a_body_without_a_line_end_verifies_as_it_is(
    tail: bytes, pair: list[Signer], dns: Dns
) -> None:
    content = b"From: a@example.com\r\n\r\n" + tail
    assert verdicts(signed(content, pair), dns, 2) == [True, True]


@given(st.binary(max_size=300), st.integers(0, 300))
def test_any_bytes_are_signed_without_complaint(
    ed25519: PrivateKey, content: bytes, end: int
) -> None:
    field = sign(content, end, [Signer("example.com", "e", ed25519)], NOW)
    assert tags(field)["h"].startswith("from:")


@pytest.mark.parametrize(
    "arguments",
    [
        {"signed": ("Subject",), "oversigned": ()},
        {"signed": ("From", "Received")},
        {"oversigned": ("From", "Bad:Name")},
        {"header": "nofws"},
        {"body": ""},
        {"lifetime_s": -1},
    ],
)
def test_bad_options(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="DKIM: "):
        Options(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("domain", "selector", "identity"),
    [
        ("", "s", ""),
        ("exa mple.com", "s", ""),
        ("example.com", "", ""),
        ("example.com", "a..b", ""),
        ("example.com", "s;d=evil", ""),
        ("example.com", "s", "news@example.org"),
        ("example.com", "s", "example.com"),
        ("example.com", "s", "a;b@example.com"),
        ("example.com", "s", "a@notexample.com"),
    ],
)
def test_bad_names(domain: str, selector: str, identity: str, rsa: PrivateKey) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Signer(domain, selector, rsa, Options(identity=identity))


def test_names_in_their_usual_form(rsa: PrivateKey) -> None:
    signer = Signer("B\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.Example.", "S1.2024", rsa)
    assert signer.domain == "xn--bcher-kva.example"
    assert signer.selector == "s1.2024"
    with pytest.raises(AttributeError):
        signer.domain = "other.example"  # type: ignore[misc]
    assert "RSAPrivateKey" not in repr(signer)


@pytest.mark.skipif(shutil.which("opendkim") is None, reason="opendkim is not installed")
def test_opendkim_agrees(
    tmp_path: Path, pair: list[Signer], rsa: PrivateKey, ed25519: PrivateKey
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(
        "".join(
            f"{selector}._domainkey.example.com {record_text(key)}\n"
            for selector, key in (("r", rsa), ("e", ed25519))
        )
    )
    config = tmp_path / "conf"
    config.write_text(f"TestPublicKeys {keys}\nMode v\n")
    message = tmp_path / "message"

    def judged(content: bytes) -> str:
        message.write_bytes(content)
        command = ["opendkim", "-x", str(config), "-t", str(message), "-v", "-v"]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return ran.stdout + ran.stderr

    good = judged(signed(MESSAGE, pair))
    assert len(re.findall(r"dkim=pass .*header\.a=(?:rsa|ed25519)-sha256", good)) == 2, good
    bad = judged(signed(MESSAGE, pair).replace(b"Bye", b"bye"))
    assert "dkim=pass" not in bad
