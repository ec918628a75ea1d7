"""TLS sessions are resumed with the host and under the policy that they were agreed upon with."""

from __future__ import annotations

import asyncio
import random
import ssl

import pytest
import uvloop

from penstock.relay.client import Client, Securing
from penstock.relay.connection import Connection
from penstock.relay.opening import open_connection
from penstock.relay.options import ConnectOptions
from penstock.relay.ports import Destination, Host
from penstock.relay.resumption import Handshake, SessionKey, TlsSessions
from penstock.relay.securing import Wanted
from penstock.relay.tls import TlsFiles, TlsMemory
from penstock.relay.tls_demand import TlsDemand

OFFER = "S: 220 hi\nC: EHLO *\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n"
SECURE = OFFER + "X: tls\nC: EHLO *\nS: 250 mx\nX: gone"
BROKEN = OFFER + "X: hear\nX: raw this is not TLS\nX: close"
PLAIN = "S: 220 hi\nC: EHLO *\nS: 250-mx\nS: 250 STARTTLS\nX: gone"


class World:
    """A server that notes which handshakes it resumed, and what the client said of its own."""

    def __init__(self, fake, context, *scripts):
        self.server = fake.Server(scripts, context)
        self.reused = []
        self.results = []
        self.now = 100.0
        self.memory = TlsMemory(
            sessions=TlsSessions(keep_s=600, entries_max=2), handshook=self.results.append
        )
        act = self.server._act

        async def noting(what, reader, writer):
            await act(what, reader, writer)
            if what == "tls":
                self.reused.append(writer.get_extra_info("ssl_object").session_reused)

        self.server._act = noting

    async def connect(self, name="mx.example", tls="opportunistic", **options):
        host = Host(name, ("127.0.0.1",), 10, self.server.port)
        destination = Destination("example.net", (host,), "site", "", "mx", None, 0.0)
        async with asyncio.timeout(5):
            opened = await open_connection(
                destination,
                ConnectOptions("me.example", tls_timeout_s=2, **options),
                self.memory,
                random.Random(7),
                lambda: self.now,
                wanted=Wanted(TlsDemand(tls)),
            )
        assert isinstance(opened, Connection), opened
        opened.close()
        return opened.tls


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def play(request, fake, server_tls):
    """``play(scripts, scenario, version=None)``: the world after the scenario."""

    def run(scripts, scenario, version=None):
        async def main():
            server_tls.maximum_version = version or ssl.TLSVersion.MAXIMUM_SUPPORTED
            world = World(fake, server_tls, *scripts)
            await world.server.start()
            try:
                await scenario(world)
                await world.server.finished()
            finally:
                await world.server.stop()
                server_tls.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
            return world

        return request.param(main())

    return run


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2])
def test_the_next_connection_resumes(play, version):
    async def scenario(world):
        for _ in range(3):
            assert await world.connect()

    world = play([SECURE] * 3, scenario, version)
    assert world.reused == [False, True, True]
    assert world.results == ["ok", "resumed", "resumed"]


def test_a_host_without_a_name_goes_by_its_address(play):
    async def scenario(world):
        await world.connect("")
        await world.connect("")

    assert play([SECURE] * 2, scenario).reused == [False, True]


def test_not_under_another_policy_nor_with_another_host(play):
    async def scenario(world):
        await world.connect()
        await world.connect(tls="required")
        await world.connect("other.example")
        await world.connect(tls="required")

    world = play([SECURE] * 4, scenario)
    # "mx.example" under the first policy is gone by then: two are kept
    assert world.reused == [False, False, False, True]


def test_not_from_another_source(play):
    async def scenario(world):
        await world.connect(source_ipv4="127.0.0.2")
        await world.connect(source_ipv4="127.0.0.3")
        await world.connect(source_ipv4="127.0.0.2")
        await world.connect(source_ipv4="127.0.0.3")

    world = play([SECURE] * 4, scenario)
    assert world.reused == [False, False, True, True]
    assert world.results == ["ok", "ok", "resumed", "resumed"]


def test_that_tls_is_broken_is_known_to_all_sources(play):
    async def scenario(world):
        assert await world.connect(source_ipv4="127.0.0.2") == ""
        assert await world.connect(source_ipv4="127.0.0.3") == ""

    play([BROKEN, PLAIN, PLAIN], scenario)


def test_a_context_that_was_dropped_takes_no_session_with_it(play):
    """OpenSSL refuses the session with the new one: it is a full handshake, and no failure."""

    async def scenario(world):
        await world.connect()
        world.memory.reload(TlsFiles())
        await world.connect()
        await world.connect()

    world = play([SECURE] * 3, scenario)
    assert world.reused == [False, False, True]
    assert world.results == ["ok", "ok", "resumed"]


def test_not_after_its_time(play):
    async def scenario(world):
        await world.connect()
        world.now += 600
        await world.connect()

    assert play([SECURE] * 2, scenario).reused == [False, False]


def test_the_longest_unused_is_dropped_first(play):
    async def scenario(world):
        for name in ("a", "b", "a", "c", "a", "b"):
            await world.connect(name)

    assert play([SECURE] * 6, scenario).reused == [False, False, True, False, True, False]


def test_a_peer_that_has_forgotten_does_a_full_handshake(fake, tmp_path, server_tls):
    """Its ticket keys are others, as after a restart."""

    async def scenario():
        world = World(fake, server_tls, SECURE, SECURE, SECURE)
        await world.server.start()
        await world.connect()
        server_tls_2 = _restarted(server_tls, tmp_path)
        world.server.context = server_tls_2
        await world.connect()
        await world.connect()
        await world.server.finished()
        await world.server.stop()
        return world

    world = uvloop.run(scenario())
    assert world.reused == [False, False, True]
    assert world.results == ["ok", "ok", "resumed"]


def _restarted(context, tmp_path):
    from bench.keys import make_certificate

    make_certificate(tmp_path / "c.crt", tmp_path / "c.key", "mx.example")
    fresh = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    fresh.load_cert_chain(tmp_path / "c.crt", tmp_path / "c.key")
    return fresh


def test_a_peer_that_breaks_over_it_is_asked_for_a_full_handshake_and_not_in_the_clear(play):
    async def scenario(world):
        assert await world.connect()
        assert await world.connect()

        assert await world.connect()  # and it is not offered one again

    world = play([SECURE, BROKEN, SECURE, SECURE], scenario)
    assert world.reused == [False, False, False]
    assert world.results == ["ok", "failed", "ok", "ok"]
    assert world.memory.stats()["broken"] == 0


def test_broken_without_a_session_too_falls_back_to_plain(play):
    async def scenario(world):
        assert await world.connect()
        assert await world.connect() == ""

    world = play([SECURE, BROKEN, BROKEN, PLAIN], scenario)
    assert world.results == ["ok", "failed", "failed"]
    assert world.memory.stats()["broken"] == 1


def test_none_kept_where_the_settings_say_so(play):
    async def scenario(world):
        world.memory.sessions = TlsSessions(entries_max=0)
        await world.connect()
        await world.connect()
        assert world.memory.sessions.stats() == {"entries": 0, "entries_max": 0}

    assert play([SECURE] * 2, scenario).reused == [False, False]


def test_the_peers_own_word_on_the_time_is_heard(play):
    async def scenario(world):
        host = Host("mx.example", ("127.0.0.1",), 10, world.server.port)
        client = Client(host, "127.0.0.1", ConnectOptions("me.example"))
        await client.connect()
        await client.introduce()
        await client.secure(Securing(TlsMemory().context(), Handshake()))
        session = client.session
        client.abort()
        assert 0 < session.timeout < 10**6
        sessions, key = TlsSessions(keep_s=10**9), SessionKey("required", "mx.example")
        sessions.keep(key, session, 0.0)
        assert sessions.get(key, session.timeout - 1) is session
        assert sessions.get(key, session.timeout) is None
        assert sessions.stats()["entries"] == 0

    play([SECURE], scenario)


def test_sessions_of_handshakes_at_once_are_not_mixed_up(play):
    """A session of another host's would be resumed just as well here."""

    async def scenario(world):
        await world.connect("a")
        await asyncio.gather(world.connect("b"), world.connect("a"), world.connect("c"))

    world = play([SECURE] * 4, scenario)
    assert sorted(world.results) == ["ok", "ok", "ok", "resumed"]


def test_a_context_that_verifies_is_another():
    """OpenSSL itself refuses a session of another context."""
    memory = TlsMemory()
    assert memory.context() is memory.context()
    assert memory.context(verify=True) is not memory.context()
    assert memory.context(min_version="1.3") is not memory.context()
    assert memory.context(verify=True).verify_mode is ssl.CERT_REQUIRED
    assert memory.context(verify=True).check_hostname
