"""The sink counts what comes, however it is cut; and with a certificate it resumes TLS sessions."""

from __future__ import annotations

import smtplib
import socket
import ssl
import struct
from unittest import mock

import pytest
from bench import keys
from bench.harness import free_port
from bench.sink import Sink
from bench.sink_session import COUNTERS_BYTES, Counters, Session, Tally, read_counters

BODY = b"x" * 40 + b"\r\n.. a dot\r\n"
SIGNED = b"Received: from a by b with ESMTP id F00;\r\n\tnow\r\nDKIM-Signature: v=1\r\n"
PLAIN = b"Subject: DKIM-Signature: none\r\nmessage-id: <2@x>\r\n"
ENVELOPE = b"MAIL FROM:<a@b>\r\nrcpt to:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\n"
DIALOGUE = (
    b"EHLO me\r\n"
    + ENVELOPE
    + SIGNED
    + b"Message-ID: <1@x>\r\n\r\n"
    + BODY
    + b".\r\n"
    + ENVELOPE
    + PLAIN
    + b"\r\n"
    + BODY
    + b"DKIM-Signature: in the body\r\n.\r\n"
    + ENVELOPE
    + b".\r\n"  # no content at all
    + b"QUIT\r\n"
)


@pytest.fixture
def tally(tmp_path):
    counters = tmp_path / "counters"
    counters.write_bytes(bytes(COUNTERS_BYTES))
    return Tally(str(counters), str(tmp_path / "record"))


@pytest.mark.parametrize("cut", [*range(1, 12), 50, 97, 10_000])
def test_counts_the_same_however_it_is_cut(tally, tmp_path, cut):
    session = Session(tally)
    replies = b""
    buffer = bytearray(10_000)
    for at in range(0, len(DIALOGUE), cut):
        piece = DIALOGUE[at : at + cut]
        buffer[: len(piece)] = piece
        replies += session.feed(buffer, len(piece))
    finals = [line[:3] for line in replies.split(b"\r\n") if line and line[3:4] != b"-"]
    each = [b"250", b"250", b"250", b"354", b"250"]
    assert finals == [b"250", *each, *each, *each, b"221"]
    assert session.leaving
    assert (tally.messages, tally.recipients, tally.signed) == (3, 6, 1)
    lines = [line.split() for line in (tmp_path / "record").read_text().splitlines()]
    assert [(line[0], line[2]) for line in lines] == [("1@x", "F00"), ("2@x", "?"), ("?", "?")]


def test_a_large_message_is_not_kept(tally):
    session = Session(tally)
    session.feed(ENVELOPE, len(ENVELOPE))
    chunk = bytearray(b"y" * 65_536)
    for _ in range(50):
        assert session.feed(chunk, len(chunk)) == b""
        assert sum(len(getattr(session, name)) for name in ("_header", "_partial")) < 200_000
    assert session.feed(b"\r\n.\r\n", 5) == b"250 2.0.0 Ok\r\n"


def test_plain_over_a_socket(tmp_path):
    with Sink(tmp_path, "127.0.0.1", free_port(), record=True) as sink:
        with smtplib.SMTP("127.0.0.1", sink.port, timeout=10) as client:
            client.sendmail("a@b", ["c@d"], "Message-ID: <one@x>\n\nhello\n")
            client.sendmail("a@b", ["c@d"], "Message-ID: <two@x>\n\nhello\n" + "z" * 500_000)
        assert sink.delivered() == ["one@x", "two@x"]
        assert list(sink.times_ns()) == ["one@x", "two@x"]
        counters = sink.read()
        assert (counters.messages, counters.recipients) == (2, 2)
        with socket.create_connection(("127.0.0.1", sink.port)) as gone:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        with smtplib.SMTP("127.0.0.1", sink.port, timeout=10) as client:
            client.sendmail("a@b", ["c@d"], "\nhello\n")
        assert sink.read().messages == 3


def test_starttls_and_resumption(tmp_path):
    files = (tmp_path / "c.crt", tmp_path / "c.key")
    keys.make_chain(*files, "sink.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    session = None
    with Sink(tmp_path, "127.0.0.1", free_port(), tls=files) as sink:
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", sink.port), 10) as raw:
                for command in (b"", b"EHLO me\r\n", b"STARTTLS\r\n"):
                    raw.sendall(command)
                    assert raw.recv(4096)[:1] == b"2"
                with context.wrap_socket(raw, session=session) as secured:
                    secured.sendall(DIALOGUE[: DIALOGUE.index(b"DATA\r\n") + 6])
                    said = b""
                    while b"354" not in said:
                        said += secured.recv(4096)
                    assert b"STARTTLS" not in said
                    secured.sendall(b"Subject: x\r\n\r\nhello\r\n.\r\n")
                    assert secured.recv(4096).startswith(b"250")
                    session = secured.session
        counters = sink.read()
        assert (counters.messages, counters.handshakes, counters.resumed) == (2, 2, 1)


def test_counters_that_change_while_they_are_read_are_read_again():
    halves = [struct.pack("8Q", *([n] * 8)) for n in (65_536 + 255, 65_536, 65_536)]
    shared = mock.MagicMock()
    shared.__getitem__.side_effect = halves
    assert read_counters(shared) == Counters(*([65_536] * 8))
