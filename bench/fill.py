"""Puts a backlog on disk, as workers would have left it: messages that are due tomorrow.

Written through the queue itself, one process a shard, while no daemon runs: taking five million
messages in over SMTP would take longer than anything that is measured with them afterwards.
``python -m bench.fill DIRECTORY COUNT [--size N] [--domains N] [--due-s N] ...``.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from bench.harness import Failed, Program
from penstock.mail.envelope import Envelope, Recipient
from penstock.mail.record import pack_envelope, pack_key, pack_recipient
from penstock.relay.spool import shard_path
from penstock_queue import NewEntry, Queue, QueueConfig, RealDisk

GROUP = 2000
DAY_S = 86_400.0
FILL_S_MAX = 1800.0


class Kind(NamedTuple):
    """Whose mail a backlog is. ``under``: the domain above its recipient domains; ``name``: the
    local part of all its Message-IDs, so that it is known where it arrives; ``class_`` and ``pool``
    as in a queue key."""

    tenant: str = ""
    class_: str = ""
    pool: str = ""
    under: str = "example"
    name: str = ""


PLAIN = Kind()


def _message(size: int, name: str) -> bytes:
    head = b"From: <a@src.example>\r\nTo: <b@dst.example>\r\nSubject: backlog\r\n"
    head += f"Message-ID: <{name}@fill.example>\r\n\r\n".encode() if name else b"\r\n"
    line = b"x" * 76 + b"\r\n"
    return (head + line * (size // len(line) + 1))[: size - 2] + b"\r\n"


def write(
    directory: str, count: int, size: int, domains: int, due_s: float, kind: Kind = PLAIN
) -> None:
    """``count`` messages of ``size`` bytes for ``domains`` domains into one shard; due in
    ``due_s``, spread over an hour; with 0 all of them at once, as mail that has just come."""
    now = time.time()
    queue = Queue.open(directory, QueueConfig(cache_bytes=1), disk=RealDisk(), now=now)
    body = [_message(size, kind.name)]
    names = [f"d{number}.{kind.under}" for number in range(domains)]
    keys = [pack_key(name, kind.tenant, "", kind.class_, kind.pool) for name in names]
    for number in range(count):
        seq = queue.reserve(1, now)
        envelope = Envelope("bounce@src.example", [], now, seq, expires_at=now + 5 * DAY_S)
        envelope.tenant, envelope.class_, envelope.pool = kind.tenant, kind.class_, kind.pool
        at = number % domains
        recipient = pack_recipient(Recipient(f"u{number}@{names[at]}"))
        due = now + due_s + number % 3600 if due_s else 0.0
        entry = NewEntry(keys[at], due, envelope.expires_at, recipient)
        queue.append(seq, pack_envelope(envelope), body, [entry])
        if number % GROUP == GROUP - 1:
            _commit(queue)
    _commit(queue)
    queue.close()


def _commit(queue: Queue) -> None:
    batch = queue.begin_commit()
    if batch is not None:
        batch.run()
        if failed := queue.end_commit(batch):
            raise failed


def fill(
    spool: pathlib.Path,
    count: int,
    *,
    shards: int,
    size: int,
    domains: int,
    due_s: float = DAY_S,
    kind: Kind = PLAIN,
) -> None:
    """``count`` messages over ``shards`` shards of ``spool``, all written at once, behind those
    that are there. Raises ``Failed``."""
    spool.mkdir(mode=0o700, exist_ok=True)
    writers = []
    for number in range(shards):
        mine = count // shards + (number < count % shards)
        command = [sys.executable, "-m", "bench.fill", shard_path(str(spool), number), str(mine)]
        command += [f"--size={size}", f"--domains={domains}", f"--due-s={due_s}"]
        command += [f"--{field.rstrip('_')}={value}" for field, value in kind._asdict().items()]
        log = spool.parent / f"fill-{number}.log"
        writers.append(Program(f"filling shard {number}", command, log))
    try:
        for writer in writers:
            writer.wait(FILL_S_MAX)
            if writer.exit_code:
                raise Failed(f"{writer.name} failed\n{writer.tail()}")
    finally:
        for writer in writers:
            if writer.running:
                writer.kill()


def evict(spool: pathlib.Path) -> None:
    """Take the segments out of the page cache, so that the next start reads the disk."""
    for path in spool.glob("shard-*/segment-*.log"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fill")
    parser.add_argument("directory")
    parser.add_argument("count", type=int)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--domains", type=int, default=1000)
    parser.add_argument("--due-s", type=float, default=DAY_S)
    for field, value in PLAIN._asdict().items():
        parser.add_argument(f"--{field.rstrip('_')}", dest=field, default=value)
    given = parser.parse_args(arguments)
    kind = Kind(*(getattr(given, field) for field in Kind._fields))
    write(given.directory, given.count, given.size, given.domains, given.due_s, kind)


if __name__ == "__main__":
    main(sys.argv[1:])
