"""Builds everything into ``dist/``, installs it into empty environments, and runs a task each.

Usage: python -m tests.dist path/to/cyclonedx-py
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.dist import build, trial

DIST = build.ROOT / "dist"


def main(cyclonedx: str) -> None:
    """Build and try; whatever is wrong ends it in a sentence."""
    shutil.rmtree(DIST, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="tts-dist-") as name:
        folder = Path(name)
        source = build.source(folder / "source")
        outs = {part: folder / part for part in ("service", "client", "npm")}
        build.python(source, outs["service"])
        build.client(source, outs["client"])
        build.npm(source, outs["npm"])
        DIST.mkdir()
        trial.run("npm", "pack", "--silent", "--pack-destination", str(DIST), cwd=outs["npm"])
        for part in ("service", "client"):
            for file in outs[part].iterdir():
                shutil.copy(file, DIST)
        shutil.copytree(outs["npm"], DIST / "npm")
        (DIST / "tts-backend-client-npm.cdx.json").write_text(trial.npm_bill(outs["npm"]))
        _try_out(folder, cyclonedx)
    for file in sorted(DIST.iterdir()):
        sys.stdout.write(f"{file.relative_to(build.ROOT)}\n")


def _try_out(folder: Path, cyclonedx: str) -> None:
    (service_wheel,) = DIST.glob("tts_backend-*.whl")
    (client_wheel,) = DIST.glob("tts_backend_client-*.whl")
    (tarball,) = DIST.glob("*.tgz")
    if client_wheel.stat().st_size > trial.CLIENT_MAX_BYTES:
        raise SystemExit(f"{client_wheel.name} is too large")
    service = trial.Environment(folder / "env-service")
    service.install(service_wheel)
    client = trial.Environment(folder / "env-client")
    client.install(client_wheel)
    for environment, name in ((service, "tts-backend"), (client, "tts-backend-client")):
        bill = DIST / f"{name}.cdx.json"
        trial.run(cyclonedx, "environment", str(environment.python), "-o", str(bill))
        bill.write_text(_without_places(json.loads(bill.read_text())))
    data = folder / "data"
    data.mkdir()
    with trial.service(service, data) as url:
        trial.python_client(client, url)
        trial.npm_package(tarball, folder / "env-npm", url)
        trial.side_by_side(service, client_wheel, url)


def _without_places(bill: dict[str, Any]) -> str:
    """Without the folders of this machine that its packages came from."""
    for component in bill["components"]:
        component["externalReferences"] = [
            each
            for each in component.get("externalReferences", ())
            if not each["url"].startswith("file:")
        ]
    return json.dumps(bill, indent=2, ensure_ascii=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
