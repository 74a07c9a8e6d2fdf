"""Reports into files: whole or not at all."""

from __future__ import annotations

from pathlib import Path
from tempfile import NamedTemporaryFile

from llmctl.core.errors import StorageError
from llmctl.core.files import expanded


def write_file(name: str, data: bytes, mode: int = 0o600) -> None:
    """Replaces the file by rename; a device or a pipe is written to. StorageError where it cannot be."""
    path = expanded(name)
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(data)
                file.close()
                Path(file.name).chmod(mode)
                Path(file.name).replace(path)
            except BaseException:
                # Whatever stopped it, Ctrl-C too: nothing half written stays behind.
                Path(file.name).unlink()
                raise
    except OSError as error:
        raise StorageError(
            f"{name}: cannot be written: {error.strerror or error}",
            hint="check the folder, its permissions and free space",
        ) from None
