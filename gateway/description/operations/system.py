"""What operators ask, and what Replicate tells."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.description.operation import Answer, Operation, header
from gateway.models import FailuresQuery, HealthQuery, PredictionNews
from tts import wire

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/health"): Operation(
        id="getHealth",
        tag="Operation",
        summary="Whether every needed part answers",
        description=(
            "Readiness. A gateway on its own needs the event store and nothing else: it accepts "
            "and streams while RabbitMQ or the audio store is away, because what it accepted is in "
            "the log, and is spoken when they are back. `tts up` is relay, processor and projector "
            "as well, and needs what they need. Run on their own, these serve the same on "
            "`METRICS_PORT`.\n\nWith `?deep=1` it is about the whole service, by what its parts "
            "tell of themselves every other second: 503 while a part is missing or something that "
            "they need is away, with what that means and what to do."
        ),
        query=HealthQuery,
        answers={200: Answer("All is well", wire.Health)},
        errors=("unhealthy", "invalid_request"),
    ),
    ("GET", "/api/me"): Operation(
        id="getMe",
        tag="Operation",
        summary="What the key may do",
        description=(
            "Whose it is, its role, whose tasks it sees and when it ends, so that a page offers "
            "nothing that would be refused. Where no keys are configured everybody may do "
            "everything."
        ),
        answers={200: Answer("What is granted", wire.Me)},
    ),
    ("GET", "/api/failures"): Operation(
        id="listFailures",
        tag="Operation",
        summary="What each failure code means",
        description="And what a person does about it, in English or Chinese: for pages and apps.",
        query=FailuresQuery,
        answers={200: Answer("All codes", wire.FailureCodes)},
        errors=("invalid_request",),
    ),
    ("GET", "/system"): Operation(
        id="getSystem",
        tag="Operation",
        summary="What runs here and elsewhere",
        description=(
            "The parts of all processes as they told of themselves last, what waits, and what is "
            "missing, with what to do about it. A part that is killed is `silent` after ten "
            "seconds; one that ends is gone."
        ),
        answers={200: Answer("Version, deployment, position, parts", wire.System)},
    ),
    ("GET", "/metrics"): Operation(
        id="getMetrics",
        tag="Operation",
        summary="Metrics for Prometheus",
        answers={200: Answer("The metrics", None, ("text/plain",))},
    ),
    ("POST", "/webhooks/replicate"): Operation(
        id="receiveReplicateWebhook",
        tag="Operation",
        summary="Replicate tells that a prediction is over",
        description=(
            "For Replicate alone: the signature takes the place of a key. Nothing is believed but "
            "which prediction to look at. Without a `PUBLIC_URL` that Replicate can reach, "
            "webhooks are off and this answers 404."
        ),
        body=PredictionNews,
        example={"id": "ufawqhfynnddngldkgtslldrkq", "status": "succeeded"},
        parameters=(
            header("webhook-id", "Names the webhook.", "msg_2b4gVb6wqQ", minLength=1),
            header(
                "webhook-timestamp",
                "When it was sent, in seconds since 1970; at most five minutes away from now.",
                "1735689600",
                pattern="^[0-9]{1,12}$",
            ),
            header(
                "webhook-signature",
                "One or several, separated by spaces: `v1,` and the base64 of the HMAC-SHA256 of "
                "`{webhook-id}.{webhook-timestamp}.{body}`.",
                "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
            ),
        ),
        answers={200: Answer("Taken", wire.WebhookTaken)},
        errors=("invalid_json", "invalid_request", "body_too_large", "bad_signature", "not_found"),
    ),
}
