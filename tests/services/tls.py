"""A certificate authority of one's own, for servers that speak TLS in a test."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.services.process import User, folder, program, run


@dataclass(frozen=True)
class Certificate:
    """The files of a server: its key, its certificate, and the authority that vouches for it."""

    authority: Path
    certificate: Path
    key: Path

    def copy(self, folder: Path, user: User) -> Certificate:
        """The same files in ``folder``, for the account alone, as PostgreSQL demands of a key."""

        def copied(path: Path) -> Path:
            copy = Path(shutil.copy(path, folder))
            copy.chmod(0o600)
            return user.own(copy)

        return Certificate(copied(self.authority), copied(self.certificate), copied(self.key))


class Authority:
    """Signs certificates that hold for a day; a client trusts them by ``file`` (PEM).

    Nothing on the machine trusts it by itself, so a client that was not told about it refuses.
    """

    def __init__(self) -> None:
        self._folder = folder("tts-tls-")
        self.file = self._folder / "authority.pem"
        self._key = self._folder / "authority.key"
        self._request(self.file, self._key, "-subj", "/CN=Authority of a test")

    def certificate(self, *names: str) -> Certificate:
        """For the addresses ("127.0.0.1") and host names; both of this machine if none is given."""
        names = names or ("127.0.0.1", "localhost")
        file = self._folder / f"{names[0]}.pem"
        key = file.with_suffix(".key")
        kinds = [f"{'IP' if name[0].isdigit() else 'DNS'}:{name}" for name in names]
        signature = ["-CA", str(self.file), "-CAkey", str(self._key)]
        subject = ["-subj", f"/CN={names[0]}", "-addext", f"subjectAltName={','.join(kinds)}"]
        self._request(file, key, *signature, *subject, "-addext", "basicConstraints=CA:false")
        return Certificate(self.file, file, key)

    def remove(self) -> None:
        """Remove its files."""
        shutil.rmtree(self._folder)

    def _request(self, certificate: Path, key: Path, *arguments: str) -> None:
        new = ["-x509", "-days", "1", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        files = ["-noenc", "-keyout", str(key), "-out", str(certificate)]
        run(program("openssl", "openssl"), "req", *new, *files, *arguments)
