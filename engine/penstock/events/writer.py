"""Writing to a descriptor without ever waiting for its reader.

The log of a daemon is often a pipe, and its reader may stop. Making the descriptor non-blocking
would change it for everybody who shares it (the shell, other workers), so the writer asks ``poll``
first and then writes no more than is sure to fit: ``PIPE_BUF`` bytes, whole lines where possible.
Writes of that size are also atomic, so lines of several workers do not mix in one pipe.
"""

from __future__ import annotations

import os
import select
import stat

PIPE_BYTES = select.PIPE_BUF
FILE_BYTES = 1 << 16


class Writer:
    """Writes whole lines to ``fd``, as much as is taken at once."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        self._chunk = FILE_BYTES if self._is_file else PIPE_BYTES
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def write(self, data: bytes) -> int:
        """The number of bytes taken; the rest is still the caller's. Lines end with ``\\n``.

        A reader that is gone for good takes everything: nobody is left to read it.
        """
        done = 0
        while done < len(data):
            end = done + self._chunk
            if end < len(data):
                end = data.rfind(b"\n", done, end) + 1 or end
            if not self._is_file and not self._ready():
                return done
            try:
                done += os.write(self._fd, data[done:end])
            except BlockingIOError:
                return done
            except OSError:
                return len(data)
        return done

    def _ready(self) -> bool:
        return bool(self._poll.poll(0))
