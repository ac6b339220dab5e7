"""A service behind the site of ops/nginx."""

from __future__ import annotations

import os
import signal
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from tests.ops.nginx_site import Site
from tests.services.ports import free_port
from tests.services.tls import Authority
from tests.services.tts import Tts

SLOW = "这句话要慢慢地说。"  # two seconds
SLOWLY = {
    "route": "prediction",
    "fault": "slow",
    "args": {"predict_seconds": 2},
    "match": SLOW,
}


class Proxied:
    """Two gateways behind the site, and one process that does their work, over one SQLite file.

    ``http`` is a client of the site, ``tls`` what it trusts.
    """

    def __init__(
        self, stack: ExitStack, folder: Path, authority: Authority, *, prefix: str = ""
    ) -> None:
        ports = [free_port(), free_port()]
        self.site = Site(authority, *ports, prefixed=bool(prefix))
        stack.callback(self.site.stop)
        sandbox = free_port()
        env = {
            "DATA_DIR": str(folder),
            "PUBLIC_URL": self.site.url + prefix,
            "PROXIES_COUNT": "1",
            "TTS_ALLOW_ANONYMOUS": "1",
            "REPLICATE_POLL_INTERVAL_MS": "50",
            "REPLICATE_SAFETY_POLL_MS": "100",
        }
        port = free_port()
        worker = Tts("up", "--port", str(port), env={**env, "SANDBOX_PORT": str(sandbox)})
        stack.callback(worker.stop)
        worker.wait_for(f"http://127.0.0.1:{port}/health")
        faults = f"http://127.0.0.1:{sandbox}/sandbox/faults"
        httpx.put(faults, json=[SLOWLY], trust_env=False).raise_for_status()
        self._urls = [f"http://127.0.0.1:{port}/health" for port in ports]
        self._gateways = [Tts("gateway", "--port", str(port), env=env) for port in ports]
        for gateway, url in zip(self._gateways, self._urls, strict=True):
            stack.callback(gateway.stop)
            gateway.wait_for(url)
        self.authority = authority.file
        self.tls = ssl.create_default_context(cafile=authority.file)
        self.http = stack.enter_context(
            httpx.Client(
                base_url=self.site.url + prefix, verify=self.tls, trust_env=False, timeout=20
            )
        )

    def restart(self, number: int) -> None:
        """SIGTERM to a gateway, as systemd sends it, and a new start."""
        gateway = self._gateways[number]
        gateway._process.stop(signal.SIGTERM)
        gateway.start()
        gateway.wait_for(self._urls[number])

    @contextmanager
    def hanging(self, number: int) -> Iterator[None]:
        """In the block, a gateway answers nobody and keeps its connections."""
        pid = self._gateways[number].pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)
