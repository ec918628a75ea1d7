"""Writing past the page cache and without a thread: Linux's asynchronous I/O, io_submit(2).

What a thread writes costs more than the write: the interpreter's lock is handed to and fro four
times a group, and each time somebody is woken. Here the event loop hands a group to the kernel
and is told by an eventfd when it is durable, as by ``fdatasync`` (``RWF_DSYNC``).
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import mmap
import os
import platform
import struct
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from penstock_queue.record import ALIGN

# A larger group is left to the thread: its hand-overs are nothing beside its bytes.
BYTES_MAX: Final = 2 << 20
_EVENTS: Final = 8
_WRITE: Final = 1  # IOCB_CMD_PWRITE
_DSYNC: Final = 2  # RWF_DSYNC
_TELL: Final = 1  # IOCB_FLAG_RESFD
# struct iocb of linux/aio_abi.h, as little-endian machines have it: data, key, rw_flags, opcode,
# priority, descriptor, address, bytes, offset, reserved, flags, eventfd.
_IOCB: Final = struct.Struct("<QIIHhIQQqQII")
# io_setup, io_destroy, io_submit, io_getevents
_GENERIC: Final = (0, 1, 2, 4)
_CALLS: Final = {"x86_64": (206, 207, 209, 208), "aarch64": _GENERIC, "riscv64": _GENERIC}

Done = Callable[[OSError | None], None]


class Kernel(Protocol):
    """One write at a time; ``told`` becomes readable when it is over."""

    @property
    def told(self) -> int: ...

    def submit(self, descriptor: int, address: int, size: int, offset: int) -> None:
        """Raises ``OSError`` where nothing was begun."""
        ...

    def result(self) -> int | None:
        """Bytes written, or an error number below 0; ``None`` while it is under way."""
        ...

    def close(self) -> None:
        """Waits for what is under way."""
        ...


class Aio:
    """The kernel's own. Raises ``OSError`` where it has none for us."""

    def __init__(self) -> None:
        calls = _CALLS.get(platform.machine())
        if calls is None or not hasattr(os, "eventfd"):
            raise OSError(errno.ENOSYS, "no asynchronous I/O is known for this machine")
        self._setup, self._destroy, self._submit, self._events = map(ctypes.c_long, calls)
        self._call = ctypes.CDLL(None, use_errno=True).syscall
        self._call.restype = ctypes.c_long
        self._context = ctypes.c_ulong(0)
        self._one, self._none = ctypes.c_long(1), ctypes.c_long(0)
        self._iocb = ctypes.create_string_buffer(_IOCB.size)
        self._iocbs = (ctypes.c_void_p * 1)(ctypes.addressof(self._iocb))
        self._event = (ctypes.c_int64 * 4)()  # struct io_event: data, obj, res, res2
        self._check(self._setup, ctypes.c_long(_EVENTS), ctypes.byref(self._context))
        try:
            self.told = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError:
            self._check(self._destroy, self._context)
            raise

    def _check(self, *arguments: object) -> int:
        result: int = self._call(*arguments)
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def submit(self, descriptor: int, address: int, size: int, offset: int) -> None:
        what = (0, 0, _DSYNC, _WRITE, 0, descriptor, address, size, offset, 0, _TELL, self.told)
        _IOCB.pack_into(self._iocb, 0, *what)
        self._check(self._submit, self._context, self._one, self._iocbs)

    def result(self) -> int | None:
        try:
            os.eventfd_read(self.told)
        except BlockingIOError:
            return None
        found = self._check(self._events, self._context, self._none, self._one, self._event, None)
        return int(self._event[2]) if found else None

    def close(self) -> None:
        if self.told >= 0:
            self._call(self._destroy, self._context)
            os.close(self.told)
            self.told = -1


class Direct(Protocol):
    """Writes for one queue, one at a time, beside the loop that asks for them."""

    def write(self, descriptor: int, buffers: Sequence[bytes], offset: int, done: Done) -> None:
        """Make ``buffers`` durable at ``offset``; both ends are multiples of ``ALIGN``, at most
        ``BYTES_MAX`` lie between. ``done`` is called from the loop. Raises ``OSError`` where
        nothing was begun."""
        ...

    def close(self) -> None: ...


class KernelDirect:
    """``Direct`` by the kernel. Raises ``OSError`` where it has nothing for us."""

    def __init__(self, loop: asyncio.AbstractEventLoop, kernel: Callable[[], Kernel] = Aio) -> None:
        self._kernel = kernel()
        self._memory = mmap.mmap(-1, BYTES_MAX)  # where pages begin, as the kernel wants it
        self._pin = ctypes.c_char.from_buffer(self._memory)
        self._address = ctypes.addressof(self._pin)
        self._loop = loop
        self._done: Done | None = None
        self._size = 0
        loop.add_reader(self._kernel.told, self._told)

    def write(self, descriptor: int, buffers: Sequence[bytes], offset: int, done: Done) -> None:
        if self._done is not None:
            raise ValueError("a write is under way")
        memory = self._memory
        memory.seek(0)
        put = memory.write
        for buffer in buffers:
            put(buffer)
        size = memory.tell()
        if size % ALIGN or offset % ALIGN:
            raise ValueError(f"{size} bytes at {offset} are not whole blocks")
        self._kernel.submit(descriptor, self._address, size, offset)
        self._done, self._size = done, size

    def _told(self) -> None:
        try:
            result = self._kernel.result()
        except OSError as error:  # nobody may be left waiting
            result = -(error.errno or errno.EIO)
        if result is None or self._done is None:
            return
        done, self._done = self._done, None
        if result == self._size:
            done(None)
        elif result < 0:
            done(OSError(-result, os.strerror(-result)))
        else:
            done(OSError(errno.EIO, f"{result} of {self._size} bytes were written"))

    def close(self) -> None:
        if self._kernel.told >= 0:
            self._loop.remove_reader(self._kernel.told)
        self._kernel.close()
        del self._pin
        self._memory.close()
