"""The supervisor's small parts: shards, sockets, the control channel."""

from __future__ import annotations

import asyncio
import os
import pathlib
import socket
import struct

import msgpack
import pytest

from penstock.control import Channel, ControlError
from penstock.daemon.shards import assign_shards
from penstock.daemon.sockets import BindError, inherited, listen, split_address


def test_every_shard_has_exactly_one_worker(tmp_path: pathlib.Path) -> None:
    for name in ("shard-00", "shard-03", "shard-04", "shard-11", "lock", "shard-xx"):
        (tmp_path / name).mkdir()
    assert assign_shards(str(tmp_path), 2) == [[0, 4], [1, 3, 11]]
    assert sorted(assign_shards(str(tmp_path), 1)[0]) == [0, 3, 4, 11]


def test_addresses_are_split() -> None:
    assert split_address("127.0.0.1:25") == ("127.0.0.1", 25)
    assert split_address("[::1]:25") == ("::1", 25)


def test_a_taken_port_says_which() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BindError, match=address):
            listen(address, {})


def test_sockets_of_systemd_are_taken_by_their_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as passed:
        passed.bind(("127.0.0.1", 0))
        passed.listen()
        fd = os.dup(passed.fileno())
        monkeypatch.setattr("penstock.daemon.sockets._FIRST_FD", fd)
        environ = {"LISTEN_FDS": "1", "LISTEN_PID": "77"}
        ready = inherited(environ, 77)
        assert environ == {}
        address = passed.getsockname()
        taken = listen(f"127.0.0.1:{address[1]}", ready)
        assert taken.fileno() == fd
        assert not ready
        taken.close()
    assert inherited({"LISTEN_FDS": "3", "LISTEN_PID": "1"}, 77) == {}


async def _pair(handler, other):  # type: ignore[no-untyped-def]
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    for end in (left, right):
        end.setblocking(False)
    _, one = await loop.create_connection(lambda: Channel(handler), sock=left)
    _, two = await loop.create_connection(lambda: Channel(other), sock=right)
    return one, two


async def test_both_ends_may_ask() -> None:
    async def later(method: str, params: object) -> object:
        await asyncio.sleep(0)
        return [method, params]

    one, two = await _pair(lambda method, params: {"got": params}, later)
    assert await two.call("m", {"a": 1}) == {"got": {"a": 1}}
    assert await asyncio.gather(*(one.call("n", n) for n in range(50))) == [
        ["n", n] for n in range(50)
    ]
    one.close()
    await two.closed
    with pytest.raises(ConnectionError):
        await two.call("m")


async def test_a_refusal_carries_its_code_and_words() -> None:
    def refuse(method: str, params: object) -> object:
        raise ControlError("bad", "not like this")

    async def refuse_later(method: str, params: object) -> object:
        raise ControlError("worse", "nor like that")

    one, two = await _pair(refuse, refuse_later)
    with pytest.raises(ControlError, match="not like this") as error:
        await two.call("m")
    assert error.value.code == "bad"
    with pytest.raises(ControlError, match="nor like that"):
        await one.call("m")
    one.close()
    await two.closed


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">I", 5) + b"\xc1\xc1\xc1\xc1\xc1",
        struct.pack(">I", 1) + b"\x01",
        struct.pack(">I", 2) + msgpack.packb([0]),
    ],
)
async def test_what_is_not_our_protocol_closes_the_channel(garbage: bytes) -> None:
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    left.setblocking(False)
    _, channel = await loop.create_connection(lambda: Channel(lambda m, p: None), sock=left)
    with right:
        right.sendall(garbage)
        await asyncio.wait_for(channel.closed, 5)
        assert right.recv(100) == b""
    assert not channel.open


async def test_who_waits_for_an_answer_hears_of_the_end() -> None:
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    one, two = await _pair(lambda m, p: never, lambda m, p: None)
    asked = two.call("m")
    await asyncio.sleep(0)
    one.close()
    with pytest.raises(ConnectionError):
        await asked


async def test_a_failure_of_ours_is_answered_too() -> None:
    reported: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))

    async def fail(method: str, params: object) -> object:
        raise OSError(28, "No space left on device", "s.json") if method == "disk" else KeyError(1)

    one, two = await _pair(fail, fail)
    with pytest.raises(ControlError, match=r"No space left on device: s\.json"):
        await one.call("disk")
    with pytest.raises(ControlError, match="its log says why"):
        await one.call("bug")
    assert [type(error) for error in reported] == [KeyError]
    one.close()
    await two.closed
