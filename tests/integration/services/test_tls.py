"""Servers that speak TLS with a certificate of one's own authority."""

import socket
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.services.postgres import Postgres
from tests.services.rabbitmq import RabbitMQ
from tests.services.s3 import S3
from tests.services.tls import Authority, Certificate


def rabbitmq(certificate: Certificate) -> tuple[str, Callable[[], None]]:
    """The TLS address of a broker, and how to end it."""
    server = RabbitMQ(certificate=certificate)
    return urlsplit(server.tls_url).netloc.rpartition("@")[2], server.stop


def s3(certificate: Certificate) -> tuple[str, Callable[[], None]]:
    """The TLS address of an S3 server, and how to end it."""
    server = S3(certificate)
    return server.tls_endpoint, server.stop


@pytest.mark.cluster
@pytest.mark.parametrize("start", [rabbitmq, s3])
def test_who_trusts_the_authority_is_served_and_nobody_else(
    authority: Authority, start: Callable[[Certificate], tuple[str, Callable[[], None]]]
) -> None:
    """A client that was told of the authority shakes hands, one that was not refuses."""
    address, stop = start(authority.certificate())
    host, _, port = address.partition(":")

    def version(trust: ssl.SSLContext) -> str | None:
        connection = socket.create_connection((host, int(port)), 5)
        with connection, trust.wrap_socket(connection, server_hostname=host) as secure:
            return secure.version()

    try:
        assert version(ssl.create_default_context(cafile=authority.file)) == "TLSv1.3"
        with pytest.raises(ssl.SSLCertVerificationError):
            version(ssl.create_default_context())
    finally:
        stop()


@pytest.mark.cluster
def test_postgresql_is_reached_by_tls(authority: Authority) -> None:
    """The URL demands TLS and the authority; with another authority it is refused."""
    server = Postgres(certificate=authority.certificate())
    stranger = Authority()
    try:
        assert server.ask("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            psycopg.connect(server.url.replace(str(authority.file), str(stranger.file)))
    finally:
        stranger.remove()
        server.stop()
