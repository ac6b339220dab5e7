"""Scrape configuration, alerts and dashboard speak of what the service shows."""

import json
import re
import subprocess
from contextlib import ExitStack

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.security import Event
from tests.ops.files import OPS, ROOT, document
from tests.ops.prometheus import Prometheus
from tests.services.ports import free_port
from tests.services.process import program
from tests.services.tts import Tts
from tests.waiting import wait_until
from tts.cli.deployments import Role
from tts.client import Client
from tts.domain.failures import TABLE, Treatment
from tts.observability.remedies import REMEDIES

FOLDER = OPS / "prometheus"
GROUPS = document(FOLDER / "alerts.yml")["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
DASHBOARD = json.loads((OPS / "grafana/tts.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
METRICS = set(
    re.findall(
        r"(?<![:\w])(?:tts|process)_\w+", " ".join([*QUERIES, *(rule["expr"] for rule in RULES)])
    )
)


def promtool(*arguments):
    """What promtool says in the folder; it fails where promtool does."""
    command = [program("promtool", "prometheus"), *arguments]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class TestAlerts:
    def test_promtool_reads_the_rules_and_the_configuration(self):
        """Neither has a mistake in its words."""
        promtool("check", "rules", "alerts.yml")
        promtool("check", "config", "--syntax-only", "prometheus.yml")

    def test_each_fires_for_what_it_is_about(self):
        """The unit tests pass, and none of the alerts is without one."""
        promtool("test", "rules", "alerts.test.yml")
        tests = document(FOLDER / "alerts.test.yml")["tests"]
        tested = {case["alertname"] for test in tests for case in test["alert_rule_test"]}
        assert tested == set(ALERTS)

    def test_each_is_in_the_runbook(self):
        """Under the heading that its annotation names."""
        runbook = (OPS / "README.md").read_text()
        for name, rule in ALERTS.items():
            assert f"### {name}\n" in runbook
            assert rule["annotations"]["runbook"] == f"ops/README.md#{name.lower()}"

    def test_codes_and_events_in_them_are_the_services(self):
        """What is waited for can happen; every code that needs an operator is waited for."""
        codes = {code for code, _ in TABLE}
        expressions = " ".join(rule["expr"] for rule in RULES)
        named = {
            code
            for each in re.findall(r'code=~?"([^"]+)"', expressions)
            for code in each.split("|")
        }
        configuration = {
            code for (code, _), row in TABLE.items() if row.treatment is Treatment.CONFIGURATION
        }
        assert named <= codes | {code for code, _ in REMEDIES}
        assert configuration <= named
        events = re.findall(r'event=~?"([^"]+)"', expressions)
        assert {name for each in events for name in each.split("|")} <= {
            each.value for each in Event
        }

    def test_every_metric_of_ours_is_made_somewhere(self):
        """Each name stands in the code, so that one that changes is found at once."""
        code = " ".join(
            path.read_text()
            for room in ("tts", "gateway", "projections")
            for path in (ROOT / room).rglob("*.py")
        )
        made = set(re.findall(r'"(tts_\w+)"', code))
        ours = {name for name in METRICS if name.startswith("tts_")}
        bare = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in ours}
        assert {name for name in bare if not {name, f"{name}_total"} & made} == set()

    def test_every_part_is_scraped(self):
        """The labels are the commands."""
        config = document(FOLDER / "prometheus.yml")
        parts = {
            group["labels"]["part"]
            for job in config["scrape_configs"]
            for group in job["static_configs"]
            if "labels" in group
        }
        assert parts == {role.value for role in Role}


@pytest.fixture(scope="module")
def scraped(tmp_path_factory, postgres):
    """A Prometheus that has scraped a service, which has spoken, and the service's metrics."""
    with ExitStack() as stack:
        port = free_port()
        env = {
            "EVENT_STORE_URL": postgres.create_database(),
            "SANDBOX_PORT": str(free_port()),
            "REPLICATE_POLL_INTERVAL_MS": "50",
        }
        folder = tmp_path_factory.mktemp("data")
        service = Tts("up", "--port", str(port), "--data", str(folder), env=env)
        stack.callback(service.stop)
        url = f"http://127.0.0.1:{port}"
        service.wait_for(f"{url}/health")
        server = Prometheus({f"127.0.0.1:{port}": "gateway"})
        stack.callback(server.stop)
        wait_until(lambda: server.query("tts_accept_seconds_count"), "the service is scraped")
        with Client(url, trust_env=False) as app:
            app.generate("template1", "你好。", wait=30)
        spoken = "sum(increase(tts_accept_seconds_count[5m])) > 0"
        wait_until(lambda: server.query(spoken), "the task is scraped")
        yield server, httpx.get(f"{url}/metrics", trust_env=False).text


@pytest.mark.ops
class TestScraped:
    def test_every_query_of_the_dashboard_has_an_answer(self, scraped):
        """No panel is empty while the service works."""
        server, _ = scraped
        for query in QUERIES:
            wait_until(lambda query=query: server.query(query), query)

    def test_no_alert_is_about_a_service_that_works(self, scraped):
        """Asked as they stand: one that fires for nothing is soon read by nobody."""
        server, _ = scraped
        # One process is scraped here as a gateway; and rules that are recorded are not there.
        elsewhere = {"TtsPartGone"} | {n for n, rule in ALERTS.items() if "tts:" in rule["expr"]}
        for name in ALERTS.keys() - elsewhere:
            assert server.query(ALERTS[name]["expr"]) == [], name

    def test_every_metric_in_alerts_and_dashboard_is_shown_by_the_service(self, scraped):
        """A name that changes is found here, and not in the night when no alert comes."""
        _, text = scraped
        shown = set()
        for family in text_string_to_metric_families(text):
            shown.add(family.name)
            shown |= {sample.name for sample in family.samples}
            if family.type == "counter":
                shown.add(f"{family.name}_total")
        assert shown >= METRICS
