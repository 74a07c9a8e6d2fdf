"""Server-sent events (WHATWG HTML, section 9.2), the little that providers use of them: `data`."""

from __future__ import annotations

from codecs import BOM_UTF8


class Parser:
    """Bytes in any cutting go in, the data of each whole event comes out.

    Lines end with LF, CRLF or CR; a byte-order mark in front is dropped. What follows the last empty
    line is no event: it was cut off.
    """

    __slots__ = ("_after_cr", "_began", "_data", "_open")

    def __init__(self) -> None:
        self._open: list[bytes] = []  # the pieces of a line whose end has not come
        self._data: list[bytes] = []
        self._began = False
        self._after_cr = False  # an LF that comes next belongs to the line end before it

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._after_cr or b"\r" in chunk:
            chunk = self._with_lf(chunk)
        if b"\n" not in chunk:
            self._open.append(chunk)
            return []
        lines = chunk.split(b"\n")
        if self._open:
            lines[0] = b"".join((*self._open, lines[0]))
        rest = lines.pop()
        self._open = [rest] if rest else []
        if not self._began:
            self._began = True
            lines[0] = lines[0].removeprefix(BOM_UTF8)
        found: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line and self._data:
                found.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data = []
        return found

    def _with_lf(self, chunk: bytes) -> bytes:
        """The chunk with LF at the end of every line; an event need not wait for what may follow a CR."""
        if not chunk:
            return chunk
        ends_with_cr = chunk.endswith(b"\r")
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = ends_with_cr
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
