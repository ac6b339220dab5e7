"""The runbook says what to do about everything that can happen, and about nothing else."""

import re

import pytest

from tests.ops.files import OPS, ROOT, SETTINGS
from tests.ops.test_prometheus import ALERTS
from tts.domain.failures import TABLE
from tts.observability.remedies import REMEDIES, Remedy

TEXT = (OPS / "README.md").read_text()
ENGLISH, CHINESE = TEXT.split("\n# 中文\n")
CODES = {code for code, _ in TABLE}
FOREIGN = {"LISTEN", "DDL"}  # words of others that look like settings


def rows(text):
    """The first cells of all tables that hold a name, in backticks."""
    return re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["English", "Chinese"])
def test_every_failure_code_has_its_row_once(text):
    """In both languages, so that nobody is left alone with a code at night."""
    codes = [row for row in rows(text) if row not in ALERTS]
    assert sorted(codes) == sorted(CODES)


def test_what_waits_for_an_operator_is_said_to():
    """The column agrees with what the service does."""
    said = dict(re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", ENGLISH, re.MULTILINE))
    for code in CODES:
        treatments = {row.treatment.value for (name, _), row in TABLE.items() if name == code}
        if treatments == {"permanent"}:
            assert said[code] == "final", code
        elif "configuration" in treatments:
            assert said[code] == "waits for you", code
        else:
            assert said[code] == "by itself", code


def explained(text):
    """The table of what is missing."""
    found = re.findall(r"^\| `(\w+) (\w+)` \| (.+) \| (.+) \|$", text, re.MULTILINE)
    return {(code, subject): Remedy(*words) for code, subject, *words in found}


def test_what_is_missing_is_explained_as_the_service_explains_it():
    """Each row of its table, in the same words; in Chinese, those of the page."""
    assert explained(ENGLISH) == dict(REMEDIES)
    page = (ROOT / "gateway/static/page/troubles.js").read_text()
    rows_of = re.findall(
        r'^  "(\w+) (\w+)": \["[^"]+", "([^"]+)", "([^"]+)"\],$', page, re.MULTILINE
    )
    assert explained(CHINESE) == {each[:2]: Remedy(*each[2:]) for each in rows_of}


def test_every_alert_is_explained_in_both_languages():
    """Under a heading of its own, which the alert's annotation names, and in a row."""
    assert re.findall(r"^### (Tts\w+)$", ENGLISH, re.MULTILINE) == list(ALERTS)
    assert [row for row in rows(CHINESE) if row in ALERTS] == list(ALERTS)


def test_links_lead_somewhere():
    """To a file that is there, or to a heading."""
    headings = {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        if target.startswith("#"):
            assert target[1:] in headings, target
        else:
            assert (OPS / target).exists(), target


def test_settings_that_it_names_are_settings():
    """A name that changed is found here."""
    names = set(re.findall(r"`([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)(?:=\w+)?`", TEXT))
    assert names - FOREIGN <= SETTINGS


def test_the_readme_points_to_it():
    """Who is called at night begins there."""
    assert "(ops/README.md)" in (ROOT / "README.md").read_text()
