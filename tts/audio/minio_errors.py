"""What a refusal by S3 means for a task."""

from __future__ import annotations

from http import HTTPStatus

from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError

from tts.domain.failures import StepError

ACCESS_DENIED = "AccessDenied"
NO_BUCKET = "NoSuchBucket"
NO_OBJECT = "NoSuchKey"
_OPERATOR_MUST_ACT = {
    ACCESS_DENIED,
    "AllAccessDisabled",
    "AuthorizationHeaderMalformed",
    "InvalidAccessKeyId",
    "InvalidBucketName",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
}
_PASSES = {NO_BUCKET, "OperationAborted", "RequestTimeout", "SlowDown"}


def translated(error: MinioException | HTTPError) -> StepError:
    """A server out of reach or out of order passes; one that refuses us needs an operator."""
    if isinstance(error, S3Error):
        name = error.code or "no code"
        status = error.response.status
    elif isinstance(error, ServerError):
        name, status = "ServerError", error.status_code
    elif isinstance(error, InvalidResponseError):
        # Not S3 at all: an address that something else listens on, or a proxy's error page.
        name, status = "no S3 answer", error._code  # noqa: SLF001 -- it has no public name
    else:
        message = f"The audio store does not answer: {type(error).__name__}"
        return StepError("audio_unavailable", "audio", message)
    message = f"The audio store answered {status}: {name}"
    if name in _OPERATOR_MUST_ACT:
        return StepError("audio_refused", "audio", message)
    busy = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS
    if busy or name in _PASSES:
        return StepError("audio_unavailable", "audio", message)
    if isinstance(error, InvalidResponseError):
        return StepError("audio_refused", "audio", message)
    return StepError("audio_rejected", "audio", message)
