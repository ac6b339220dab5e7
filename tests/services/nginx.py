"""A private nginx before several gateways."""

from __future__ import annotations

import shutil
import signal

from tests.services.ports import free_port, listening
from tests.services.process import Process, User, program
from tests.waiting import wait_until

# What somebody writes who has read no more than nginx's first page.
DEFAULTS = """
upstream gateways {
    SERVERS
}
server {
    listen 127.0.0.1:PORT;
    location / { proxy_pass http://gateways; }
}
"""

# What a cluster needs, with ``options="max_fails=0"``: no gateway is left out after a restart, and
# streams are neither held back nor ended.
GOOD = """
upstream gateways {
    SERVERS
    keepalive 16;
}
map $http_upgrade $connection_upgrade {
    default upgrade;
    '' '';
}
server {
    listen 127.0.0.1:PORT;
    location / {
        proxy_pass http://gateways;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_buffering off;
        proxy_read_timeout 1h;
        proxy_connect_timeout 2s;
    }
}
"""

_FRAME = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path temp/body;
    proxy_temp_path temp/proxy;
    fastcgi_temp_path temp/fastcgi;
    uwsgi_temp_path temp/uwsgi;
    scgi_temp_path temp/scgi;
    SITE
}
"""


class Nginx:
    """A proxy on ``url`` before the ports of ``gateways``.

    ``site`` is what stands in its ``http`` block: :data:`DEFAULTS`, :data:`GOOD`, or a test's own,
    where SERVERS and PORT stand for theirs. ``options`` follow each server: ``max_fails=0``.
    """

    def __init__(self, *gateways: int, site: str = DEFAULTS, options: str = "") -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._user = User("www-data")
        self._folder = self._user.folder("tts-nginx-")
        (self._folder / "temp").mkdir()
        self._user.own(self._folder / "temp")
        self._config = self._folder / "nginx.conf"
        self.configure(*gateways, site=site, options=options)
        self.start()

    def configure(self, *gateways: int, site: str = DEFAULTS, options: str = "") -> None:
        """Write another configuration; it holds from the next start on."""
        servers = "\n".join(f"server 127.0.0.1:{port} {options};" for port in gateways)
        site = site.replace("SERVERS", servers).replace("PORT", str(self.port))
        self._config.write_text(_FRAME.replace("SITE", site))

    def start(self) -> None:
        """Start it (again) on the same port and wait until it listens."""
        nginx = program("/usr/sbin/nginx", "nginx")
        self._process = Process(
            self._user.command([nginx, "-p", str(self._folder), "-c", str(self._config)]),
            folder=self._folder,
            log=self._folder / "log",
            stop_signal=signal.SIGTERM,
        )
        wait_until(self._listens, "nginx listens")

    def halt(self) -> None:
        """End it and all of its connections at once, until :meth:`start`."""
        self._process.stop(signal.SIGTERM)

    def stop(self) -> None:
        """End it and remove its folder."""
        if self._process.running:
            self.halt()
        shutil.rmtree(self._folder)

    @property
    def log(self) -> str:
        """Its errors so far; ``upstream`` is in each that is about a gateway."""
        return (self._folder / "log").read_text(errors="replace")

    def _listens(self) -> bool:
        self._process.check()
        return listening(self.port)
