"""Standard output and error that outlive whoever reads them: `gameday run … | head`.

It promises that a reader who has gone stops the printing and nothing else: no print raises for it, so that a run goes
on to its verdict and the exit code is the verdict's. Other errors, such as a full disk, are raised as ever.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# A pipe whose other end is closed, and a terminal that has hung up.
_READER_GONE = (errno.EPIPE, errno.EIO)


class _Output(io.FileIO):
    """A descriptor that swallows what nobody reads any more."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _READER_GONE or stat.S_ISREG(os.fstat(self.fileno()).st_mode):
                # A file has no reader: what it does not take is lost, and somebody must hear of it.
                raise
            return memoryview(data).nbytes


def outlive_readers() -> None:
    """Make it so for the rest of this process."""
    _open_closed_descriptors()
    sys.stdout = _outliving(sys.stdout, 1)
    sys.stderr = _outliving(sys.stderr, 2)


def _open_closed_descriptors() -> None:
    """`>&-` leaves a number free that the next file or socket would get, and then be printed into."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is this one.
            os.open(os.devnull, os.O_RDWR)


def _outliving(stream: TextIO | None, descriptor: int) -> TextIO:
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    if stream is not None and not isinstance(raw, io.FileIO):
        # Somebody in this process reads it.
        return stream
    output = io.BufferedWriter(_Output(descriptor, "w", closefd=False))
    if stream is None:
        return io.TextIOWrapper(output, encoding="utf-8")
    stream.flush()
    assert isinstance(stream, io.TextIOWrapper)
    # Without a buffer (PYTHONUNBUFFERED) it was meant to be read at once.
    at_once = stream.line_buffering or buffer is raw
    return io.TextIOWrapper(output, encoding=stream.encoding, errors=stream.errors, line_buffering=at_once)
