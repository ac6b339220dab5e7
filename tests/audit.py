"""``make audit``: holds the locked packages against the public list of known holes.

It says plainly when the list could not be read: silence of a list that was not asked proves
nothing. Exit codes: 0 nothing is known, 1 a hole is known, 2 some or all could not be looked up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[1] / "requirements.lock"


def main(pip_audit: str) -> int:
    """Run it and tell what it found."""
    command = [pip_audit, "--require-hashes", "--disable-pip", "--progress-spinner", "off"]
    command += ["--format", "json", "--requirement", str(LOCK)]
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    try:
        packages: list[dict[str, Any]] = json.loads(process.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (process.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return tell(2, f"The list of known holes could not be read: {reason[:200]}")
    return verdict(packages)


def verdict(packages: list[dict[str, Any]]) -> int:
    """What the answers amount to."""
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    holes = [
        f"{package['name']} {package['version']}: {hole['id']}, mended in "
        f"{', '.join(hole.get('fix_versions', ())) or 'no version yet'}"
        for package in packages
        for hole in package.get("vulns", ())
    ]
    for hole in holes:
        tell(1, hole)
    if unknown:
        names = "any package" if len(unknown) == len(packages) else ", ".join(unknown)
        tell(2, f"The list of known holes could not be read for {names}: this proves nothing.")
    if holes:
        return 1
    if unknown or not packages:
        return 2
    return tell(0, f"No hole is known in any of the {len(packages)} locked packages.")


def tell(status: int, sentence: str) -> int:
    """Print it where it belongs."""
    print(sentence, file=sys.stderr if status else sys.stdout)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
