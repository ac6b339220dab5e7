"""What the service says of the one who asks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from tts.wire.fields import Time


class Me(TypedDict):
    """What the credential of the request grants."""

    keyId: Annotated[
        str | None, Field(description="Null where nobody is asked for a key: all may do all.")
    ]
    owner: Annotated[str, Field(description="Whose a new task is; empty where nobody is asked.")]
    role: Literal["app", "dashboard", "admin"]
    scope: Annotated[
        str | None, Field(description="The owner whose tasks are visible; null for everybody's.")
    ]
    mayCommand: Annotated[
        bool, Field(description="Post texts, retry, cancel, erase, redrive, dismiss.")
    ]
    mayOperate: Annotated[
        bool, Field(description="Read `/system`, `/metrics` and the counts of `/api/stats`.")
    ]
    expiresAt: Annotated[Time | None, Field(description="When the credential ends, if it does.")]
