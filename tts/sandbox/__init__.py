"""A local stand-in for Replicate and the template host, close enough for the real client.

>>> sandbox = await start_sandbox(host="127.0.0.1", port=3003, data_dir=Path("data/sandbox"))
>>> sandbox.url
'http://127.0.0.1:3003'
>>> await sandbox.stop()
"""

from tts.sandbox.app import Sandbox, start_sandbox
from tts.sandbox.behaviour import Behaviour
from tts.sandbox.faults import BadRule

__all__ = ["BadRule", "Behaviour", "Sandbox", "start_sandbox"]
