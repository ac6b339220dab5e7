"""The static files: their paths, their types, and what every page is served with."""

from __future__ import annotations

from importlib.resources import files

JAVASCRIPT = "text/javascript; charset=utf-8"
PAGE = "text/html; charset=utf-8"
STYLES = "text/css; charset=utf-8"
TYPESCRIPT = "application/typescript; charset=utf-8"
FILES = {
    "/client/SSEClient.js": JAVASCRIPT,
    "/client/SSEClient.mjs": JAVASCRIPT,
    "/client/SSEClient.d.ts": TYPESCRIPT,
    "/client/SSEClient.d.mts": TYPESCRIPT,
    "/dashboard.js": JAVASCRIPT,
    "/dashboard.css": STYLES,
    "/task.html": PAGE,
    "/task.js": JAVASCRIPT,
    "/task.css": STYLES,
    "/sse-client-example.html": PAGE,
    "/sse-client-example.js": JAVASCRIPT,
    "/sse-client-example.css": STYLES,
    "/asyncapi.yaml": "application/yaml; charset=utf-8",
}
STATIC = files("gateway") / "static"
MODULES = sorted(file.name for file in (STATIC / "page").iterdir())  # under /page/

# The page takes nothing from elsewhere, save for the audio, which may lie in a bucket.
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; "
        "connect-src 'self'; media-src 'self' http: https:; img-src 'self' data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",  # a URL may hold a stream token
    "X-Content-Type-Options": "nosniff",
}
