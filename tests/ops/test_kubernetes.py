"""The manifests of ops/kubernetes."""

import pytest

from tests.ops.files import OPS, SETTINGS, document, documents, names_in, tool
from tests.services.process import run
from tts.cli.commands import COMMANDS
from tts.cli.deployments import Role
from tts.config import Settings

KUBERNETES = OPS / "kubernetes"


def manifests(kind):
    """Those of a kind, by name."""
    return {
        each["metadata"]["name"]: each
        for path in KUBERNETES.glob("*.yaml")
        for each in documents(path)
        if each["kind"] == kind
    }


def pod_of(role):
    """What runs in a pod of the part."""
    return manifests("Deployment")[f"tts-{role}"]["spec"]["template"]["spec"]


def test_all_files_are_applied():
    """None is forgotten in the list."""
    listed = set(document(KUBERNETES / "kustomization.yaml")["resources"])
    files = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert listed == files


def test_settings_and_secrets_are_settings():
    """A name that is none would be ignored without a word."""
    names = names_in("kubernetes/settings.env") + names_in("kubernetes/secrets.env.example")
    assert set(names) <= SETTINGS
    assert len(names) == len(set(names))


@pytest.mark.parametrize("role", list(Role))
def test_a_part_can_lose_a_pod_without_being_gone(role):
    """Two replicas on two machines, one of which no drain takes; time enough to end well."""
    deployment = manifests("Deployment")[f"tts-{role}"]["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    assert deployment["replicas"] == 2
    assert manifests("PodDisruptionBudget")[f"tts-{role}"]["spec"]["minAvailable"] == 1
    assert container["args"] == [role.value]
    assert role.value in COMMANDS
    pause = container.get("lifecycle", {}).get("preStop", {}).get("exec", {})
    shutdown = Settings.model_fields["shutdown_seconds"].default
    paused = int(pause["command"][1]) if pause else 0
    assert pod["terminationGracePeriodSeconds"] > paused + shutdown


@pytest.mark.parametrize("role", list(Role))
def test_an_outage_elsewhere_restarts_no_pod(role):
    """Only readiness asks for the health, which is bad while PostgreSQL is away."""
    (container,) = manifests("Deployment")[f"tts-{role}"]["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/health"
    assert container["livenessProbe"]["httpGet"]["path"] != "/health"


@pytest.mark.parametrize("role", list(Role))
def test_a_pod_may_do_little(role):
    """No root, no writable image, no token of the cluster."""
    pod = pod_of(role)
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["automountServiceAccountToken"] is False
    security = pod["containers"][0]["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert security["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.ops
def test_they_are_what_kubernetes_takes():
    """By its own schemas, which kubernetes-validate has; an unknown field is a mistake."""
    for path in KUBERNETES.glob("*.yaml"):
        if path.name != "kustomization.yaml":
            run(tool("kubernetes-validate"), "--strict", str(path))
