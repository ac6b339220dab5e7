"""A gateway with keys, and a client of each kind."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from gateway.access import keys
from gateway.access.roles import Role
from tests.integration.gateway.gateway_under_test import Running, fail, running, speak
from tests.waiting import until


def make_keys(path: Path) -> dict[str, dict[str, str]]:
    """A file of keys, and each client's headers."""
    past = datetime.now(UTC) - timedelta(seconds=1)

    def key(owner: str, role: Role, expires: datetime | None = None) -> str:
        return keys.add(path, owner=owner, role=role, expires=expires)[1]

    texts = {
        "expired": key("shop", Role.APP, past),
        "revoked": key("shop", Role.APP),
        "other owner": key("bakery", Role.APP),
        "app": key("shop", Role.APP),
        "dashboard": key("ops", Role.DASHBOARD),
        "admin": key("ops", Role.ADMIN),
    }
    keys.revoke(path, texts["revoked"].split("_")[1])
    texts["invented"] = texts["app"][:-1] + ("a" if texts["app"][-1] != "a" else "b")
    return {"none": {}} | {who: {"Authorization": f"Bearer {key}"} for who, key in texts.items()}


@dataclass
class Guarded:
    """A gateway with keys, and the headers of each kind of client."""

    its: Running
    headers: Mapping[str, Mapping[str, str]]
    file: Path

    async def task(self, end: str = "", owner: str = "shop") -> UUID:
        """A task of the shop, brought to its end."""
        task, _ = await self.its.application.request(template_id="t", text="x", owner=owner)
        if end == "succeeded":
            await speak(self.its.application, task.id)
            await self.its.audio.put(f"audio-{task.id}.wav", b"RIFF", "audio/wav")
        elif end:
            await fail(self.its.application, task.id, permanent=True)
        return task.id

    async def status(self, who: str, method: str, url: str, **more: Any) -> int:
        """What the client is answered; streams are not read."""
        headers = {**self.headers[who], **more.pop("headers", {})}
        async with self.its.client.stream(method, url, headers=headers, **more) as answer:
            return answer.status_code

    async def token(self, who: str, **order: str) -> str:
        """A token of the client, to read if it does not say for what."""
        answer = await self.its.client.post(
            "/api/stream-token", headers=self.headers[who], json=order or None
        )
        return answer.json()["data"]["token"]

    def key_id(self, who: str) -> str:
        """The id of the client's key."""
        return self.headers[who]["Authorization"].split("_")[1]

    def revoke(self, who: str) -> None:
        """Take the client's key back."""
        keys.revoke(self.file, self.key_id(who))


@contextlib.asynccontextmanager
async def guarded(folder: Path, **settings: Any) -> AsyncIterator[Guarded]:
    file = folder / "keys.json"
    headers = make_keys(file)
    async with running(folder, tts_api_keys_file=file, **settings) as its:
        yield Guarded(its, headers, file)


async def becomes(what: Any, expected: object) -> None:
    """Ask until the answer is the expected one."""

    async def same() -> bool:
        return bool(await what() == expected)

    await until(same, f"it becomes {expected}")
