"""The site of ops/nginx, with a test's addresses and files in place of its examples."""

from __future__ import annotations

import re

from tests.ops.files import OPS
from tests.services.nginx import Nginx
from tests.services.ports import free_port
from tests.services.process import User
from tests.services.tls import Authority

SITE = OPS / "nginx/tts.conf"
_PREFIX = re.compile(r"^ *# +(location /tts/ .*)$", re.MULTILINE)


class Site:
    """nginx on ``url`` (https) before the gateways' ports; ``plain_url`` is its port for http.

    ``prefixed`` adds the location for a path prefix, which the site has as a comment.
    """

    def __init__(self, authority: Authority, *gateways: int, prefixed: bool = False) -> None:
        account = User("www-data")
        files = authority.certificate().copy(account.folder("tts-site-"), account)
        plain_port = free_port()
        text = SITE.read_text()
        if prefixed:
            text = _PREFIX.sub(r"\1", text)
        for pattern, replacement in (
            (r"^.*listen \[::\]:.*\n", ""),
            (r"listen 80;", f"listen 127.0.0.1:{plain_port};"),
            (r"listen 443 ", "listen 127.0.0.1:PORT "),
            (r"/etc/letsencrypt/\S+/fullchain\.pem", str(files.certificate)),
            (r"/etc/letsencrypt/\S+/privkey\.pem", str(files.key)),
            (r"( *)server 127\.0\.0\.1:3002 .*\n", r"\1SERVERS\n"),
            (r" *server 127\.0\.0\.1:3012 .*\n", ""),
        ):
            text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
            assert count, f"ops/nginx/tts.conf has nothing like {pattern}"
        options = re.search(r"server 127\.0\.0\.1:3002 (.*);", SITE.read_text())
        assert options is not None
        self.nginx = Nginx(*gateways, site=text, options=options[1])
        self.port = self.nginx.port
        self.url = f"https://localhost:{self.port}"
        self.plain_url = f"http://localhost:{plain_port}"

    def stop(self) -> None:
        """End nginx."""
        self.nginx.stop()
