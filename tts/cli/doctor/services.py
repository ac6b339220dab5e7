"""What there is to see of the services: event store, broker, bucket, Replicate, template host."""

from __future__ import annotations

from collections.abc import Iterable

import httpx

from tts.cli.doctor.findings import Finding, advised, note, ok, wrong
from tts.config import ConfigError, Settings
from tts.domain.failures import StepError
from tts.http.transport import Transport
from tts.parts.audio import bucket
from tts.parts.replicate import replicate_predictions
from tts.parts.store_look import look_at_store
from tts.parts.trust import trust_of
from tts.ports.errors import Unavailable, Unfit
from tts.queue.rabbitmq import RabbitMQ

SKEW_SECONDS = 1.0
TEMPLATE_SECONDS = 10.0
NO_PREDICTION = "tts-doctor"
UNKNOWN = "prediction_lost"  # as it has to be

DATABASE_ADVICE = {
    "password authentication": "correct user and password",
    "no password supplied": "add the password",
    "does not exist": "make it, or correct the name",
    "pg_hba": "let this machine in (pg_hba.conf)",
    "resolve": "correct the host",
    "refused": "is it started, and is the address right?",
    "timeout": "is the address right, and does a firewall let us through?",
    "not a database": "restore it from a backup, or move it away to begin anew",
    "malformed": "restore it from a backup, or move it away to begin anew",
}
BROKER_ADVICE = {
    "ACCESS_REFUSED": "correct user and password",
    "NOT_ALLOWED": "make the virtual host and let the user in: rabbitmqctl set_permissions -p …",
    "vhost": "make the virtual host: rabbitmqctl add_vhost …",
    "PRECONDITION_FAILED": (
        "an older service declared it: stop what uses it, and run `tts migrate rabbitmq`"
    ),
    "inequivalent": (
        "an older service declared it: stop what uses it, and run `tts migrate rabbitmq`"
    ),
    "certificate": "name the authority with ?cafile=… in the URL",
    "connect": "is it started, and is the address right?",
}
BUCKET_ADVICE = {
    "NoSuchBucket": "correct MINIO_BUCKET, or let a gateway make it at its start",
    "AccessDenied": "allow the key what README lists under `Audio in a bucket`",
    "InvalidAccessKeyId": "correct MINIO_ACCESS_KEY",
    "SignatureDoesNotMatch": "correct MINIO_SECRET_KEY",
    "RequestTimeTooSkewed": "set the clock of this machine",
    "no S3 answer": "correct MINIO_ENDPOINT: what answers there is no S3",
    "does not answer": "is it started, and are MINIO_ENDPOINT and MINIO_SECURE right?",
}
REPLICATE_ADVICE = {
    "replicate_unauthorized": "correct REPLICATE_API_TOKEN",
    "replicate_forbidden": "correct REPLICATE_API_TOKEN",
    "replicate_payment_required": "add credit to the account",
    "replicate_unreachable": "is REPLICATE_BASE_URL right, and is there a way out (HTTPS_PROXY)?",
}


async def look_at_event_store(settings: Settings) -> Iterable[Finding]:
    """Whether it can be used, and whether its clock is ours."""
    subject = "EVENT_STORE_URL" if settings.event_store_url.get_secret_value() else "Event store"
    try:
        seen = await look_at_store(settings.store_url, settings.direct_url)
    except (Unfit, Unavailable) as error:
        return [wrong(subject, advised(str(error), DATABASE_ADVICE))]
    tables = f"its tables are of version {seen.version}" if seen.version else "it has no tables yet"
    found = [ok(subject, f"{seen.place} can be used; {tables}")]
    if seen.ahead is not None:
        skew = f"that of the database is {abs(seen.ahead):.1f} s " + (
            "ahead of this machine's" if seen.ahead > 0 else "behind this machine's"
        )
        far = abs(seen.ahead) > SKEW_SECONDS
        found.append(note("Clock", f"{skew}: let both follow NTP") if far else ok("Clock", skew))
    return found


async def look_at_broker(settings: Settings) -> Iterable[Finding]:
    """Whether it confirms a message, and how its queues are."""
    url = settings.rabbitmq_url.get_secret_value()
    if not url:
        return [ok("RABBITMQ_URL", "not set: the queue is inside `tts up`")]
    queue = RabbitMQ(url)
    try:
        await queue.healthy()
        noted = [note("RABBITMQ_URL", each) for each in queue.notes]
    except Unavailable as error:
        return [wrong("RABBITMQ_URL", advised(str(error), BROKER_ADVICE))]
    finally:
        await queue.aclose()
    return [ok("RABBITMQ_URL", "the broker confirms messages"), *noted]


async def look_at_audio(settings: Settings) -> Iterable[Finding]:
    """Whether an object can be stored and removed; no bucket is made."""
    if not settings.minio_endpoint:
        return [ok("MINIO_ENDPOINT", "not set: audio lies in DATA_DIR, served by the gateway")]
    try:
        audio = bucket(settings, knows_readers=False)
    except ConfigError as error:
        return [wrong("MINIO_ENDPOINT", str(error))]
    where = f"bucket {settings.minio_bucket} at {settings.minio_endpoint}"
    try:
        await audio.ensure_bucket()
    except StepError as error:
        return [wrong("MINIO_ENDPOINT", f"{where}: {advised(error.message, BUCKET_ADVICE)}")]
    finally:
        await audio.aclose()
    return [ok("MINIO_ENDPOINT", f"{where}: objects can be stored and removed")]


async def look_at_replicate(settings: Settings) -> Iterable[Finding]:
    """Whether it lets us in; nothing is paid for."""
    if settings.sandboxed:
        text = "not set: `tts up` speaks through the local sandbox, which costs nothing"
        return [ok("REPLICATE_API_TOKEN", text)]
    try:
        predictions = replicate_predictions(settings, webhook="")
    except ConfigError as error:
        return [wrong("REPLICATE_API_TOKEN", str(error))]
    try:
        await predictions.get(NO_PREDICTION)
    except StepError as error:
        if error.code != UNKNOWN:
            text = advised(f"{error.message} ({error.code})", REPLICATE_ADVICE)
            return [wrong("REPLICATE_API_TOKEN", text)]
    finally:
        await predictions.aclose()
    told = f"ends are told to {settings.webhook_url}" if settings.webhook_url else "polled for ends"
    return [ok("REPLICATE_API_TOKEN", f"{settings.replicate_base_url} lets us in; {told}")]


async def look_at_templates(settings: Settings) -> Iterable[Finding]:
    """Whether the host answers; which templates there are, it does not say."""
    if settings.sandboxed and "template_base_url" not in settings.chosen:
        return [ok("TEMPLATE_BASE_URL", "not set: the sandbox has templates of its own")]
    url = settings.template_base_url
    transport = Transport(timeout=TEMPLATE_SECONDS, trust=trust_of(settings))
    try:
        async with transport.ask("GET", f"{url}/") as answer:
            status = answer.status
    except httpx.HTTPError as error:
        reason = (
            f"{url} does not answer ({type(error).__name__}): is it right, and is there a way out?"
        )
        return [wrong("TEMPLATE_BASE_URL", reason)]
    finally:
        await transport.aclose()
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return [wrong("TEMPLATE_BASE_URL", f"{url} answers {status}")]
    return [ok("TEMPLATE_BASE_URL", f"{url} answers")]
