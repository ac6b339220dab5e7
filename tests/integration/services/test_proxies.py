"""Poolers and proxies that teams put before servers, so that tests can put them before ours."""

import contextlib

import httpx
import psycopg
import pytest

from tests.services.nginx import DEFAULTS, GOOD, Nginx
from tests.services.pgbouncer import PgBouncer
from tests.services.ports import free_port
from tests.services.postgres import Postgres
from tests.services.scripted_http import ScriptedHttp, answer
from tests.waiting import SECONDS


class TestPgBouncer:
    def test_a_session_pooler_keeps_what_belongs_to_a_session(self, postgres: Postgres) -> None:
        """A statement that two clients prepare under one name is two statements."""
        assert self._prepare_twice(postgres, "session") == []

    def test_a_transaction_pooler_mixes_sessions(self, postgres: Postgres) -> None:
        """A statement that two clients prepare under one name is a duplicate: SQLSTATE 42P05."""
        assert self._prepare_twice(postgres, "transaction") == ["42P05"]

    @staticmethod
    def _prepare_twice(postgres: Postgres, mode: str) -> list[str | None]:
        pooler = PgBouncer(postgres.port, mode)
        url = pooler.through(postgres.create_database())
        errors = []
        with contextlib.ExitStack() as stack:
            stack.callback(pooler.stop)
            for _ in range(2):
                client = stack.enter_context(psycopg.connect(url, autocommit=True))
                try:
                    client.execute("PREPARE question AS SELECT 1")
                except psycopg.Error as error:
                    errors.append(error.sqlstate)
        return errors


class TestNginx:
    @pytest.mark.parametrize("site", [DEFAULTS, GOOD])
    async def test_a_gateway_that_is_gone_is_passed_over(self, site: str) -> None:
        """Every request is answered as long as one gateway of two is there."""
        async with ScriptedHttp() as gateway:
            gateway.on("GET /", answer({"alive": True}))
            nginx = Nginx(free_port(), httpx.URL(gateway.url).port or 0, site=site)
            try:
                async with httpx.AsyncClient(
                    base_url=nginx.url, trust_env=False, timeout=SECONDS
                ) as client:
                    answers = [await client.get("/") for _ in range(4)]
                assert [answer.json() for answer in answers] == [{"alive": True}] * 4
            finally:
                nginx.stop()

    def test_without_gateways_it_answers_502(self) -> None:
        """The answer is the proxy's own, and its log says why."""
        nginx = Nginx(free_port())
        try:
            assert httpx.get(nginx.url, trust_env=False, timeout=SECONDS).status_code == 502
            assert "Connection refused" in nginx.log
        finally:
            nginx.stop()
