"""One group of records on its way to the disk.

Decide, do, decide: ``Queue.begin_commit`` takes everything that waits (``Pending``) and fixes
where it goes; ``Batch.run`` writes and syncs, in any thread, touching nothing of the queue;
``Queue.end_commit`` applies what came of it. The return of the ``fdatasync`` in ``run`` is the
one commit instant.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from penstock_queue import record
from penstock_queue.disk import Disk, File
from penstock_queue.record import ALIGN, BODY, ENTRIES, HEAD, Again, Message
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


class Sealed(NamedTuple):
    """A file that nothing is added to any more, and where its last group ends."""

    file: File
    size: int

    def close(self) -> bool:
        """Give back the room that was made ahead, and close. ``False`` where the disk refuses, to
        be tried again: zeros at the end of a segment that is not the newest look like damage."""
        try:
            self.file.truncate(self.size)
            self.file.sync()
        except OSError:
            return False
        self.file.close()
        return True


class Batch:
    """``messages`` and ``size``: for whoever watches. After ``run``, ``error`` is ``None`` or says
    why nothing of this group counts; ``cut`` then says that its bytes are off the disk. ``room``:
    up to where the file has its place on the disk; where that is too little, ``room_ahead`` is
    made for the groups to come. ``sealed``: files before, to be closed first; after ``run`` those
    that the disk would not take back the room of."""

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
        room: int,
        room_ahead: int,
        sealed: Sequence[Sealed],
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
        self.room = room
        self._room_ahead = room_ahead
        self.sealed = sealed
        self._buffers: list[bytes] = []
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
            self.sealed = [sealed for sealed in self.sealed if not sealed.close()]
            if self.file is None:
                self.file = self._create()
            buffers = self.encode()
            self._make_room(self.file)
            self.file.write(buffers, self.offset)
            self.file.sync()
        except OSError as error:
            self.error = error
            self.undo()

    @property
    def direct(self) -> int:
        """The descriptor to write the group to without ``run``, -1 where only that will do; to be
        asked after ``encode``."""
        if self.file is None or self.sealed or self.offset % ALIGN:
            return -1
        return self.file.direct if self.end <= self.room else -1

    def _make_room(self, file: File) -> None:
        if self.end > self.room:
            try:
                file.allocate(self.end + self._room_ahead)
            except OSError:
                return  # little is left: what the group itself needs is for the write to find out
            self.room = self.end + self._room_ahead

    def _create(self) -> File:
        """A new segment whose header and name are durable before anything is written behind
        them."""
        file = self._disk.create(self._path)
        self.file = file
        file.write([self.header.encode()], 0)
        file.sync()
        self._disk.sync_directory(self._directory)
        return file

    def undo(self) -> None:
        """After a failure: cut off what may be there of the group. Blocking; any thread."""
        try:
            if self.file is not None:
                self.file.truncate(max(self.offset, HEADER_BYTES))
                self.file.sync()
            self.cut = True
        except OSError:
            self.cut = False

    def encode(self) -> list[bytes]:
        """The group as it goes to ``offset``; sets ``end``. Done once, whoever asks."""
        if self._buffers:
            return self._buffers
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
        buffers.append(pad := record.padding(at, salt))
        self.end = at + len(pad)
        self._buffers = buffers
        return buffers
