"""Client of the service for Python: commands, queries, and a stream that survives restarts.

>>> with Client("http://127.0.0.1:3002") as tts:
...     print(tts.generate("template1", "你好", wait=True).audio_url)
>>> async with AsyncClient("https://tts.example.com", api_key=key) as tts:
...     accepted = await tts.generate("template1", "你好")
...     async for update in tts.events(accepted.task_id):
...         print(update.status)

It speaks the public API alone and imports nothing else of ``tts``.
"""

from tts.client.asynchronous import AsyncClient
from tts.client.blocking import Client
from tts.client.errors import CursorReset, TTSError
from tts.client.results import Accepted, AudioPart, Task, Update

__all__ = [
    "Accepted",
    "AsyncClient",
    "AudioPart",
    "Client",
    "CursorReset",
    "TTSError",
    "Task",
    "Update",
]
