"""What is served besides the API, and not described: the description itself, and the pages."""

from __future__ import annotations

from gateway.static_files import FILES

DOCS = {"/docs", "/docs/reference", "/docs/ui/{file}", "/openapi.json"}
PAGES = frozenset({"/", "/page/{module}", *DOCS, *FILES})
