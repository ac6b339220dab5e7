"""The account's secret, as Replicate tells it."""

import pytest

from tests.services.scripted_http import Act, Reply, ScriptedHttp, answer
from tts.ports.errors import Unavailable
from tts.replicate.webhook_secret import PATH, AccountSecret

NO_SECRETS: dict[str, Act] = {
    "too long": Reply(body=b'{"key": "' + b"x" * 20_000 + b'"}'),
    "compressed": Reply(body=b"x", headers={"Content-Encoding": "gzip"}),
    "redirected": Reply(302, headers={"Location": "http://169.254.169.254/"}),
    "no key": answer({}),
    "a page": Reply(body=b"<html>"),
}


@pytest.mark.parametrize("act", NO_SECRETS.values(), ids=NO_SECRETS)
async def test_an_answer_without_the_secret_leaves_it_unknown(act):
    """However the answer looks, it is one sentence, and asked for again later."""
    async with ScriptedHttp() as server:
        server.on(f"GET {PATH}", act)
        secret = AccountSecret(base_url=server.url, token="any", timeout=5)  # noqa: S106
        try:
            with pytest.raises(Unavailable, match="not known"):
                await secret.key()
        finally:
            await secret.aclose()
        assert len(server.requests) == 1
