"""TLS between a socket and a protocol: whatever comes in whatever pieces, nothing is lost of it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.relay.resumption import Handshake
from penstock.relay.tls import client_context
from penstock.relay.tls_stream import TlsStream

NAME = "mx.example"


class Socket(asyncio.Transport):
    """The socket's transport: what was written, and whether it is closed."""

    def __init__(self):
        super().__init__({"peername": ("192.0.2.1", 25)})
        self.sent = bytearray()
        self.closed = self.aborted = False
        self.protocol = None

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def set_protocol(self, protocol):
        self.protocol = protocol

    def write(self, data):
        assert not self.closed
        self.sent += data

    def get_write_buffer_size(self):
        return len(self.sent)

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = self.aborted = True


class Mail(asyncio.Protocol):
    def __init__(self):
        self.got = []
        self.ended = 0
        self.lost = []

    def data_received(self, data):
        self.got.append(data)

    def eof_received(self):
        self.ended += 1

    def connection_lost(self, exc):
        self.lost.append(exc)


class Pair:
    """Our stream, and OpenSSL as the host's side of it."""

    def __init__(self, server, context=None):
        self.socket, self.mail = Socket(), Mail()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = context or client_context(verify=False)
        engine = context.begin(incoming, outgoing, NAME, Handshake())
        self.stream = TlsStream(self.socket, self.mail, engine, incoming, outgoing)
        self._to_host, self._from_host = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.host = server.wrap_bio(self._to_host, self._from_host, server_side=True)

    async def shake(self):
        task = asyncio.ensure_future(self.stream.handshake())
        for _ in range(10):
            await asyncio.sleep(0)
            if task.done():
                break
            self.carry()
            with contextlib.suppress(ssl.SSLWantReadError):
                self.host.do_handshake()
            self.feed(self._from_host.read())
        self.carry()
        await task
        return self

    def carry(self):
        """What we sent reaches the host."""
        self._to_host.write(bytes(self.socket.sent))
        self.socket.sent.clear()

    def feed(self, data):
        while data:
            room = self.stream.get_buffer(-1)
            size = min(len(room), len(data))
            room[:size] = data[:size]
            self.stream.buffer_updated(size)
            data = data[size:]

    def said(self, *texts):
        """What the host's words, a record each, are on the wire."""
        for text in texts:
            while text:
                text = text[self.host.write(text) :]
        return self._from_host.read()

    def heard(self):
        """All that the host can read."""
        self.carry()
        got = bytearray()
        while True:
            try:
                data = self.host.read(1 << 20)
            except ssl.SSLWantReadError:
                return bytes(got)
            if not data:
                return bytes(got)
            got += data

    def host_closes(self):
        with pytest.raises(ssl.SSLWantReadError):
            self.host.unwrap()
        return self._from_host.read()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    texts=st.lists(st.binary(min_size=1, max_size=300) | st.just(b"x" * 40_000), max_size=6),
    cuts=st.lists(st.integers(1, 20_000), max_size=20),
)
def test_what_comes_in_any_pieces_is_whole(server_tls, version, texts, cuts):
    async def main():
        server_tls.maximum_version = version
        try:
            pair = await Pair(server_tls).shake()
        finally:
            server_tls.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
        wire = pair.said(*texts)
        for cut in cuts:
            pair.feed(wire[:cut])
            wire = wire[cut:]
        pair.feed(wire)
        assert b"".join(pair.mail.got) == b"".join(texts)
        assert not pair.stream.is_closing()

    asyncio.run(main())


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(texts=st.lists(st.binary(max_size=300) | st.just(b"y" * 100_001), max_size=6))
def test_what_is_written_arrives_whole(server_tls, texts):
    async def main():
        pair = await Pair(server_tls).shake()
        for text in texts:
            pair.stream.write(text)
        pair.stream.writelines(texts)
        assert pair.heard() == b"".join(texts) * 2

    asyncio.run(main())


async def test_a_group_of_lines_is_one_record(server_tls):
    pair = await Pair(server_tls).shake()
    pair.stream.writelines([b"MAIL FROM:<>\r\n", b"RCPT TO:<a@b>\r\n", b"DATA\r\n"])
    size = int.from_bytes(pair.socket.sent[3:5], "big")
    assert len(pair.socket.sent) == size + 5


async def test_the_handshakes_own_questions(server_tls):
    pair = await Pair(server_tls).shake()
    info = pair.stream.get_extra_info
    assert info("ssl_object").version() == "TLSv1.3"
    assert info("cipher")[0].startswith("TLS_")
    assert isinstance(info("sslcontext"), ssl.SSLContext)
    assert info("peername") == ("192.0.2.1", 25)
    assert info("else", "no") == "no"


async def test_we_close_and_say_so(server_tls):
    pair = await Pair(server_tls).shake()
    pair.stream.write(b"QUIT\r\n")
    pair.stream.close()
    pair.stream.close()
    pair.stream.write(b"more")
    assert pair.heard() == b"QUIT\r\n"
    assert pair.host.read() == b""  # told, not cut off
    assert pair.socket.closed
    assert not pair.socket.aborted


async def test_the_host_closes(server_tls):
    pair = await Pair(server_tls).shake()
    pair.feed(pair.said(b"421 bye\r\n") + pair.host_closes())
    assert (pair.mail.got, pair.mail.ended) == ([b"421 bye\r\n"], 1)
    assert pair.socket.closed
    assert pair.stream.eof_received() is False  # that it closes the socket, too, is no news
    pair.stream.connection_lost(None)
    assert (pair.mail.ended, pair.mail.lost) == (1, [None])


async def test_the_socket_ends_without_a_word(server_tls):
    pair = await Pair(server_tls).shake()
    assert pair.stream.eof_received() is False
    assert pair.mail.ended == 1


async def test_what_was_changed_on_the_way_is_not_believed(server_tls):
    pair = await Pair(server_tls).shake()
    wire = bytearray(pair.said(b"250 fine\r\n", b"250 fine\r\n"))
    wire[-1] ^= 1
    pair.feed(bytes(wire))
    assert pair.mail.got == [b"250 fine\r\n"]
    assert pair.socket.closed
    pair.stream.connection_lost(None)
    (error,) = pair.mail.lost
    assert isinstance(error, ssl.SSLError)
    with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
        pair.heard()  # the alert


async def test_nothing_is_read_after_a_protocol_that_closes(server_tls):
    pair = await Pair(server_tls).shake()
    pair.mail.data_received = lambda data: (pair.mail.got.append(data), pair.stream.abort())
    pair.feed(pair.said(b"1", b"2"))
    assert pair.mail.got == [b"1"]
    assert pair.socket.aborted


async def test_a_handshake_that_we_refuse_says_why(server_tls):
    pair = Pair(server_tls, client_context(verify=True))
    with pytest.raises(ssl.SSLCertVerificationError):
        await pair.shake()
    assert pair.socket.closed
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        pair.heard()


async def test_what_is_not_tls(server_tls):
    pair = Pair(server_tls)
    task = asyncio.ensure_future(pair.stream.handshake())
    await asyncio.sleep(0)
    pair.feed(b"500 what?\r\n")
    pair.feed(b"500 what?\r\n")
    with pytest.raises(ssl.SSLError):
        await task
    assert pair.mail.got == []


@pytest.mark.parametrize("error", [None, ConnectionResetError("reset")])
async def test_lost_during_the_handshake(server_tls, error):
    pair = Pair(server_tls)
    task = asyncio.ensure_future(pair.stream.handshake())
    await asyncio.sleep(0)
    assert pair.stream.eof_received() is False
    assert pair.mail.ended == 0
    pair.stream.connection_lost(error)
    with pytest.raises(ConnectionResetError, match="reset" if error else "during the handshake"):
        await task
    assert pair.mail.lost == [error]


async def test_writing_waits_with_the_socket(server_tls):
    pair = await Pair(server_tls).shake()
    told = []
    pair.mail.pause_writing = lambda: told.append("pause")
    pair.mail.resume_writing = lambda: told.append("resume")
    pair.stream.pause_writing()
    pair.stream.resume_writing()
    assert told == ["pause", "resume"]


class Busy:
    """An engine that takes as much as it is told to, and now and then nothing before it has read.
    What it was refused must come again."""

    def __init__(self, moves):
        self._moves = iter(moves)
        self._refused = None
        self.took = bytearray()

    def do_handshake(self):
        pass

    def write(self, data):
        data = bytes(data)
        assert data
        if self._refused is not None:
            assert data == self._refused, "another buffer than the one that was refused"
        move = next(self._moves, len(data))
        if move == 0:
            self._refused = data
            raise ssl.SSLWantReadError
        self._refused = None
        self.took += data[:move]
        return min(move, len(data))

    def read(self, size):
        raise ssl.SSLWantReadError


@given(
    texts=st.lists(st.binary(min_size=1, max_size=50), max_size=8),
    moves=st.lists(st.integers(0, 40), max_size=40),
)
def test_what_is_not_encrypted_before_the_host_has_answered_keeps_its_turn(texts, moves):
    async def main():
        engine, socket, mail = Busy(moves), Socket(), Mail()
        stream = TlsStream(socket, mail, engine, ssl.MemoryBIO(), ssl.MemoryBIO())
        await stream.handshake()
        paused = []
        mail.pause_writing = lambda: paused.append(True)
        mail.resume_writing = paused.clear
        for text in texts:
            stream.write(text)
            assert bool(paused) == bool(stream.get_write_buffer_size()), "who writes knows of it"
        whole = b"".join(texts)
        assert len(engine.took) + stream.get_write_buffer_size() == len(whole)
        for _ in moves:
            stream.buffer_updated(0)
        assert engine.took == whole
        assert stream.get_write_buffer_size() == 0
        assert not paused

    asyncio.run(main())


async def test_writing_goes_on_when_neither_socket_nor_engine_stands_against_it():
    mail, told = Mail(), []
    stream = TlsStream(Socket(), mail, Busy([0]), ssl.MemoryBIO(), ssl.MemoryBIO())
    await stream.handshake()
    mail.pause_writing = lambda: told.append("pause")
    mail.resume_writing = lambda: told.append("resume")
    stream.write(b"DATA")
    stream.pause_writing()
    stream.resume_writing()  # the socket has room, and the engine still wants to read
    assert told == ["pause", "pause"]
    stream.pause_writing()
    stream.buffer_updated(0)  # the other way round
    assert told == ["pause"] * 3
    stream.resume_writing()
    assert told == ["pause"] * 3 + ["resume"]
