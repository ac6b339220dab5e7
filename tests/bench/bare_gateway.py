"""The baseline of the accept rate: a Sanic handler that parses the body, answers, and no more."""

from __future__ import annotations

import sys
from uuid import uuid4

import orjson
from sanic import HTTPResponse, Request, Sanic

app = Sanic("bare", configure_logging=False)
app.config.ACCESS_LOG = False


@app.post("/api/tts")
async def accept(request: Request) -> HTTPResponse:
    """Parse and answer."""
    orjson.loads(request.body)
    answer = {
        "success": True,
        "data": {
            "taskId": str(uuid4()),
            "message": "Audio generation started",
            "status": "started",
            "position": 1,
        },
    }
    return HTTPResponse(orjson.dumps(answer), 202, content_type="application/json")


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), single_process=True, motd=False, access_log=False)
