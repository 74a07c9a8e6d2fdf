"""Server-sent events (WHATWG HTML, section 9.2), the little that providers use of them: `data`."""

from __future__ import annotations


class Parser:
    """Bytes in any cutting go in, the data of each whole event comes out.

    Lines end with LF or CRLF. What follows the last empty line is no event: it was cut off.
    """

    __slots__ = ("_data", "_open")

    def __init__(self) -> None:
        self._open: list[bytes] = []  # the pieces of a line whose end has not come
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        if b"\n" not in chunk:
            self._open.append(chunk)
            return []
        lines = chunk.split(b"\n")
        if self._open:
            lines[0] = b"".join((*self._open, lines[0]))
        rest = lines.pop()
        self._open = [rest] if rest else []
        found: list[bytes] = []
        for line in lines:
            if line.endswith(b"\r"):
                line = line[:-1]
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line and self._data:
                found.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data = []
        return found
