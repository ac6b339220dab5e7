"""The URL of a PostgreSQL database: what it says, and what is said of one that nobody can read."""

import psycopg
import pytest

from tts.store.postgres_url import UnreadableUrl, check_refusal, parameters, settings_of

PLACE = "postgresql://user:hunter2@host:5432/db"


@pytest.mark.parametrize(
    "options",
    [
        "-c search_path=voice",
        "-csearch_path%3Dvoice",
        "-c%20search_path%3Dvoice",
        "--search_path=voice",
        "-c statement_timeout=3s -c search_path=voice",
    ],
)
def test_options_may_be_written_as_in_a_command(options: str) -> None:
    """A blank and an equals sign need no code in them, as nothing else can be meant."""
    for query in (f"options={options}", f"sslmode=prefer&options={options}"):
        assert settings_of(parameters(f"{PLACE}?{query}"))["search_path"] == "voice"


def test_several_hosts_and_a_password_come_out_as_they_were() -> None:
    """As the driver reads them."""
    read = parameters("postgresql://u:p%40s%2Fs@one,two:5433/db?target_session_attrs=read-write")
    assert (read["host"], read["port"]) == ("one,two", ",5433")
    assert (read["password"], read["target_session_attrs"]) == ("p@s/s", "read-write")
    assert settings_of(read) == {}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("ssl_mode=require", "is sslmode meant"),
        ("Options=-c x=1", "is options meant"),
        ("hunter2=1", "such as sslmode or options"),
        ("sslmode", "missing key/value separator"),
    ],
)
def test_an_option_that_there_is_not_is_answered_with_one_that_there_is(query, words) -> None:
    """What stands there may be a piece of a password, so it is not repeated."""
    with pytest.raises(UnreadableUrl, match=words) as caught:
        parameters(f"{PLACE}?{query}")
    assert "hunter2" not in str(caught.value)


def test_a_value_that_no_server_takes_is_no_outage() -> None:
    """Waiting would not mend it; whatever else hinders a connection may pass."""
    with pytest.raises(UnreadableUrl):
        check_refusal(psycopg.OperationalError('invalid port number: invalid integer value "x"'))
    with pytest.raises(UnreadableUrl, match="ALTER ROLE"):
        check_refusal(psycopg.OperationalError("FATAL:  unsupported startup parameter: options"))
    check_refusal(psycopg.OperationalError("connection refused"))
