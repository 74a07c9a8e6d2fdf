"""The Disk that the cache's diskcache uses: it knows texts alone, and files of its own alone.

No value is ever unpickled. What somebody planted is nothing: other storage modes, values that are no
texts, files of other users, symbolic links, names that lead out of the folder (read or removed).
"""

from __future__ import annotations

import os
import re
from functools import cache as once
from pathlib import Path
from typing import Any

from llmctl.core.errors import StorageError
from llmctl.core.files import private_open

OWN_NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]+\.val\Z")


@once
def text_disk() -> type:
    """The class, made when diskcache is first needed."""
    from diskcache import Disk
    from diskcache.core import MODE_RAW, MODE_TEXT

    class TextDisk(Disk):  # type: ignore[misc]  # diskcache ships no types
        def put(self, key: object) -> tuple[object, bool]:
            if not isinstance(key, str):
                raise ValueError("cache keys are texts")
            return key, True

        def get(self, key: object, raw: object) -> object:
            return key if raw else None

        def store(self, value: object, read: object, key: object = None) -> Any:
            if not isinstance(value, str):
                raise ValueError("cache values are texts")
            if len(value) < self.min_file_size:
                return super().store(value, False, key=key)
            filename, _ = self.filename(key, value)
            return self._kept(value.encode("utf-8"), filename), MODE_TEXT, filename, None

        def _kept(self, data: bytes, filename: str) -> int:
            path = Path(self._directory, filename)
            for folder in (path.parent.parent, path.parent):
                folder.mkdir(mode=0o700, exist_ok=True)
            with private_open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, "wb") as file:
                return int(file.write(data))

        def fetch(self, mode: int, filename: str | None, value: object, read: object) -> object:
            if mode == MODE_RAW:
                return value if isinstance(value, str) else None
            if mode != MODE_TEXT or not filename or not OWN_NAME.match(filename):
                return None
            try:
                with private_open(Path(self._directory, filename), os.O_RDONLY, "rb") as file:
                    return file.read().decode("utf-8", "replace")
            except (OSError, StorageError):
                return None

        def remove(self, file_path: str) -> None:
            if OWN_NAME.match(file_path):
                super().remove(file_path)

    return TextDisk
