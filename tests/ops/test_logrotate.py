"""The rotation of log files, by the real logrotate."""

import gzip
import subprocess

from tests.ops.files import OPS
from tests.services.process import program


def test_a_rotated_log_starts_anew_and_loses_no_line(tmp_path):
    """The process goes on writing into the file that it has open."""
    log = tmp_path / "gateway.log"
    text = (OPS / "logrotate/tts").read_text().replace("/var/log/tts", str(tmp_path))
    config = tmp_path / "tts.conf"
    config.write_text(text)
    config.chmod(0o644)
    command = [
        program("/usr/sbin/logrotate", "logrotate"),
        "--force",
        "--state",
        tmp_path / "state",
    ]
    with log.open("ab", buffering=0) as output:
        for number in range(3):
            output.write(b"line %d\n" % number)
            subprocess.run([*command, config], check=True, capture_output=True)
        output.write(b"line 3\n")
    assert log.read_bytes() == b"line 3\n"
    assert (tmp_path / "gateway.log.1").read_bytes() == b"line 2\n"
    assert gzip.decompress((tmp_path / "gateway.log.3.gz").read_bytes()) == b"line 0\n"
