"""Swagger UI, out of the package that keeps it (the extra ``docs``), if that is installed.

Only its files are read; the package's own code, which is for another framework, is never loaded.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PACKAGE = "flask-swagger-ui"
FOLDER = "flask_swagger_ui/dist"
NAMES = ("swagger-ui-bundle.js", "swagger-ui.css")


def files() -> dict[str, Path]:
    """By name; none if it is not there as it should be."""
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        return {}
    found = {name: Path(str(package.locate_file(f"{FOLDER}/{name}"))) for name in NAMES}
    return found if all(path.is_file() for path in found.values()) else {}
