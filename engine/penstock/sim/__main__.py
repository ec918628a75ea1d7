"""``python -m penstock.sim``: the fake providers as a process of their own.

When all listen, one line of JSON goes to standard output: the map of names
(:meth:`penstock.sim.names.Names.as_json`). It ends when standard input ends, so that it cannot
outlive who started it; a line ``stats`` there is answered by one line of JSON with the counts. With
``--journal`` every message taken is written down: provider, sender, Message-ID, recipients,
separated by tabs. Options are also taken from the environment (``PENSTOCK_SIM``), before those of
the command line: the daemon starts this process and knows nothing of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable
from typing import TextIO

import uvloop

from penstock.sim.server import Message
from penstock.sim.world import World, WorldConfig, running_world

_MESSAGE_ID = re.compile(rb"(?im)^message-id:\s*(<[^>\r\n]*>)")
_HEADER_BYTES_MAX = 16 << 10


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for who started us
    with uvloop_runner() as runner:
        if options.journal is None:
            runner.run(_serve(_config(options), None))
            return 0
        with open(options.journal, "a", encoding="utf-8", buffering=1) as journal:
            runner.run(_serve(_config(options), journal))
    return 0


def uvloop_runner() -> asyncio.Runner:
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m penstock.sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--latency", type=float, default=1.0, help="scale of all delays, 0: none")
    parser.add_argument("--patient", action="store_true", help="take everything at once")
    parser.add_argument("--no-tls", action="store_true", help="offer no STARTTLS")
    parser.add_argument("--changes", type=json.loads, default=None, help="JSON, see WorldConfig")
    parser.add_argument("--journal", default=None, metavar="FILE")
    given = sys.argv[1:] if arguments is None else arguments
    return parser.parse_args(shlex.split(os.environ.get("PENSTOCK_SIM", "")) + given)


def _config(options: argparse.Namespace) -> WorldConfig:
    return WorldConfig(
        options.seed, options.latency, not options.no_tls, options.patient, options.changes
    )


async def _serve(config: WorldConfig, journal: TextIO | None) -> None:
    on_message = None if journal is None else _recorder(journal)
    async with running_world(config, on_message=on_message) as world:
        _print(world.names.as_json())
        await _obey(world)


def _recorder(journal: TextIO) -> Callable[[Message], None]:
    def record(message: Message) -> None:
        found = _MESSAGE_ID.search(message.content, 0, _HEADER_BYTES_MAX)
        message_id = found[1].decode("utf-8", "replace") if found else ""
        fields = (message.provider, message.sender, message_id, *message.recipients)
        journal.write("\t".join(fields) + "\n")

    return record


async def _obey(world: World) -> None:
    """Answer what is asked on standard input, until it ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        while line := await reader.readline():
            if line.strip() == b"stats":
                _print(world.stats())
    finally:
        transport.close()


def _print(value: object) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    sys.exit(main())
