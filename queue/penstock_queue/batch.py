"""One group of records on its way to the disk.

Decide, do, decide: ``Queue.begin_commit`` takes everything that waits (``Pending``) and fixes
where it goes; ``Batch.run`` writes and syncs, in any thread, touching nothing of the queue;
``Queue.end_commit`` applies what came of it. The return of the ``fdatasync`` in ``run`` is the
one commit instant.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import NamedTuple

from penstock_queue import record
from penstock_queue.disk import Disk, File
from penstock_queue.record import BODY, ENTRIES, HEAD, Again, Message
from penstock_queue.segment import HEADER_BYTES, Header


class Copy(NamedTuple):
    """A live message of segment ``source`` to be recorded again; ``notes``: by entry, where the
    deferral lies whose state the copy now carries."""

    message: Message
    source: int
    notes: dict[int, tuple[int, int]]


@dataclass(slots=True)
class Pending:
    """What waits for the next group. ``agains``: the flag says that the deferral is only moved from
    an old segment. ``settles``: segments with a record of what ``done`` finishes. ``tombs``:
    settlements moved from an old segment."""

    messages: list[Message] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    done: array[int] = field(default_factory=lambda: array("Q"))
    tombs: array[int] = field(default_factory=lambda: array("Q"))
    agains: dict[int, tuple[Again, bool]] = field(default_factory=dict)
    settles: set[int] = field(default_factory=set)
    bytes: int = 0

    def __bool__(self) -> bool:
        return bool(self.messages or self.copies or self.done or self.agains or self.tombs)


class Batch:
    """``messages`` and ``size``: for whoever watches. After ``run``, ``error`` is ``None`` or says
    why nothing of this group counts; ``cut`` then says that its bytes are off the disk."""

    def __init__(
        self,
        work: Pending,
        number: int,
        next_seq: int,
        disk: Disk,
        directory: str,
        path: str,
        header: Header,
        file: File | None,
        offset: int,
    ) -> None:
        self.work = work
        self.number = number
        self.header = header
        self.offset = offset
        self.end = offset
        self.file = file
        self.created = file is None
        self.error: OSError | None = None
        self.cut = False
        self.again_offsets: list[int] = []
        self.again_sizes = 0
        self._next_seq = next_seq
        self._disk = disk
        self._directory = directory
        self._path = path

    @property
    def messages(self) -> int:
        return len(self.work.messages)

    @property
    def size(self) -> int:
        """Bytes written."""
        return self.end - self.offset

    def run(self) -> None:
        """Write the group and make it durable. Blocking; any thread; no exception for
        ``OSError``."""
        try:
            if self.file is None:
                self.file = self._create()
            buffers = self._encode()
            self.file.write(buffers, self.offset)
            self.file.sync()
        except OSError as error:
            self.error = error
            self._undo()

    def _create(self) -> File:
        """A new segment whose header and name are durable before anything is written behind
        them."""
        file = self._disk.create(self._path)
        self.file = file
        file.write([self.header.encode()], 0)
        file.sync()
        self._disk.sync_directory(self._directory)
        return file

    def _undo(self) -> None:
        try:
            if self.file is not None:
                self.file.truncate(max(self.offset, HEADER_BYTES))
                self.file.sync()
            self.cut = True
        except OSError:
            self.cut = False

    def _encode(self) -> list[bytes]:
        salt = self.header.salt
        pack = HEAD.pack
        buffers: list[bytes] = []
        lead = record.group(self.number, self._next_seq, salt)
        at = self.offset + len(lead)
        work = self.work
        for message in [*work.messages, *(copy.message for copy in work.copies)]:
            message.offset = at
            at += message.size
            head = pack(message.body_length, BODY, message.body_crc ^ salt)
            buffers.append(lead + head + message.head)
            buffers += message.body
            lead = pack(len(message.rows), ENTRIES, message.rows_crc ^ salt) + message.rows
        buffers.append(lead)
        for seqs in (work.tombs, work.done):
            if seqs:
                buffers.append(settled := record.done(seqs, salt))
                at += len(settled)
        self.again_offsets = offsets = []
        for settlement, _ in work.agains.values():
            buffers.append(data := record.again(settlement, salt))
            offsets.append(at)
            at += len(data)
        self.end = at
        return buffers
