"""What is started before its servers waits for them, as after a machine has been restarted."""

import pytest

from tests.services.ports import free_port
from tests.services.postgres import Postgres
from tests.services.tts import Tts
from tests.waiting import wait_until


@pytest.fixture
def server():
    server = Postgres()
    yield server
    server.stop()


def test_a_gateway_waits_for_the_database(server):
    """It says so, and serves as soon as the database does."""
    url = server.create_database()
    server.halt()
    port = free_port()
    process = Tts("gateway", "--port", str(port), env={"EVENT_STORE_URL": url})
    try:
        wait_until(lambda: "Waiting for the event store" in process.log, "the gateway waits")
        server.start()
        process.wait_for(f"http://127.0.0.1:{port}/health")
    finally:
        process.stop()
