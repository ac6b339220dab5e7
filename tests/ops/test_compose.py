"""The cluster of ops/docker/compose.yaml."""

import re

import pytest

from tests.ops.files import OPS, SETTINGS, document, names_in, tool
from tests.ops.nginx_site import SITE
from tests.services.nginx import Nginx
from tests.services.ports import free_port
from tests.services.process import run
from tts.cli.deployments import Role
from tts.config import Settings

COMPOSE_FILE = OPS / "docker/compose.yaml"
COMPOSE = document(COMPOSE_FILE)
PARTS = {
    name: service
    for name, service in COMPOSE["services"].items()
    if service.get("image") == "tts-backend"
}
EXAMPLE = re.compile(r"(.*\.)?example\.com|.*\.svc|127\.0\.0\.1|localhost|10\.\d+\.\d+\.\d+")


def test_no_file_knows_another_host_than_examples():
    """Nobody's registry, mirror or machine stands in what others copy."""
    inner = {*COMPOSE["services"], "tts_gateways"}
    for path in OPS.rglob("*"):
        if path.is_file() and path.suffix not in {".md", ".json", ".png", ".svg"}:
            for host in re.findall(r"[a-z]+://(?:[^\s/@]*@)?([\w.-]+)", path.read_text()):
                assert EXAMPLE.fullmatch(host) or host in inner, f"{path}: {host}"


def test_every_part_is_there_with_a_standby_or_a_twin():
    """Two of each, and each command is one of the service's."""
    commands = [service["command"] for service in PARTS.values()]
    assert sorted(commands) == sorted([[role.value] for role in Role] * 2)


def test_the_parts_are_given_settings_alone():
    """A name that is none would be ignored without a word."""
    for service in PARTS.values():
        assert set(service["environment"]) <= SETTINGS


def test_the_settings_start_the_service(monkeypatch):
    """They fit together, once the secrets are written."""
    for service in PARTS.values():
        for name in SETTINGS:
            monkeypatch.delenv(name, raising=False)
        for name, value in service["environment"].items():
            plain = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
            monkeypatch.setenv(name, re.sub(r"\$\{\w+:\?\}", "secret", plain))
        settings = Settings(_env_file=None)
        assert settings.presign_seconds


def test_every_secret_is_in_the_example_and_none_has_a_default():
    """Who forgets one is told by name."""
    used = dict(re.findall(r"\$\{(\w+):([?-])", COMPOSE_FILE.read_text()))
    assert set(used) == set(names_in("docker/secrets.env.example"))


def test_what_is_mounted_is_there():
    """A missing file would become an empty folder."""
    for name, service in COMPOSE["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (COMPOSE_FILE.parent / source).is_file(), f"{name}: {source}"
            else:
                assert source in COMPOSE["volumes"], f"{name}: {source}"


def test_only_this_machine_reaches_its_ports():
    """A firewall does not see what Docker opens."""
    for service in COMPOSE["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_prometheus_and_nginx_name_its_services():
    """The targets are what compose calls the containers."""
    config = document(OPS / "prometheus/prometheus.yml")
    targets = {
        target.split(":")[0]
        for job in config["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    }
    assert targets == {*PARTS, "rabbitmq"}
    site = (OPS / "docker/nginx.conf").read_text()
    gateways = {name for name, each in PARTS.items() if each["command"] == ["gateway"]}
    assert set(re.findall(r"server ([\w-]+):3002 max_fails=0;", site)) == gateways


def test_its_nginx_is_the_site_without_tls():
    """Nginx takes it, and it says nothing else about proxying than the site does."""
    text = (OPS / "docker/nginx.conf").read_text()
    lines = {re.sub(r"\s+", " ", line.strip()) for line in text.splitlines() if "proxy_" in line}
    site = {re.sub(r"\s+", " ", line.strip()) for line in SITE.read_text().splitlines()}
    assert lines <= site
    text = re.sub(r"server gateway-1:3002 .*;", "SERVERS", text)
    text = re.sub(r"server gateway-2:3002 .*;", "", text).replace("listen 8080", "listen PORT")
    nginx = Nginx(free_port(), site=text)
    nginx.stop()


def test_shell_scripts_are_shell():
    """Bash reads them."""
    for script in (OPS / "docker").glob("*.sh"):
        run("bash", "-n", str(script))


@pytest.mark.ops
def test_it_is_what_the_compose_specification_allows():
    """By the schema that comes with check-jsonschema."""
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(COMPOSE_FILE))
