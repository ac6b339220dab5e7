"""A disk of a few megabytes that a test can fill."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from tests.services.process import User, at_end, root, run

_CHUNKS = (1 << 20, 1 << 12)


class SmallDisk:
    """A file system of ``megabytes`` in memory at ``path``, for the account; takes root."""

    def __init__(self, path: Path, megabytes: int, user: User) -> None:
        self._path = path
        self._ballast = path / "ballast"
        path.mkdir()
        at_end(*root("umount", "--lazy", str(path)))
        run(*root("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)))
        user.own(path).chmod(0o700)

    def fill(self) -> None:
        """Leave no byte free."""
        with self._ballast.open("ab") as file:
            for chunk in _CHUNKS:
                self._grow(file.fileno(), chunk)

    def free(self) -> None:
        """Give back what :meth:`fill` took."""
        self._ballast.unlink()

    def unmount(self) -> None:
        """Forget all that is on it."""
        run(*root("umount", str(self._path)))

    def _grow(self, file: int, chunk: int) -> None:
        while True:
            try:
                os.posix_fallocate(file, os.fstat(file).st_size, chunk)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                return
