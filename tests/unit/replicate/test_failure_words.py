"""Which words of a failed prediction say that it may go well the next time."""

import pytest

from tts.domain.failures import Treatment
from tts.replicate.errors import failed

PASSING = {
    "prediction_interrupted": [
        "Prediction interrupted; please retry (code: PA)",
        "Director: unexpected error handling prediction (E9828)",
        "Something went wrong, please try again.",
        *(f"Broken ({code})" for code in ("E1000", "E6716", "E8367", "E8765", "E9243", "E9825")),
    ],
    "prediction_crowded_out": [
        "Service is currently unavailable due to high demand. Please try again later. (E003)",
        "CUDA out of memory. Tried to allocate 512.00 MiB (GPU 0; 15.90 GiB total capacity)",
        "torch.cuda.OutOfMemoryError: CUDA out of memory.",
        "RuntimeError: CUDA error: device-side assert triggered",
        "Out of memory (E1001)",
    ],
    "prediction_inputs": [
        "HTTPSConnectionPool(host='voices.test', port=443): Read timed out. (read timeout=10)",
        "httpx.ReadTimeout: The read operation timed out",
        "503 Server Error: Service Unavailable for url: https://voices.test/a/source_audio.mp3",
        "HTTPError: HTTP Error 502: Bad Gateway",
        "503 for source_audio",
        "source_audio returned 504",
        "Failed to download https://voices.test/a.mp3: status code 500",
        "('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))",
        "Remote end closed connection without response",
        "urlopen error [Errno -3] Temporary failure in name resolution",
        "IncompleteRead(1024 bytes read, 2048 more expected)",
        "Max retries exceeded with url: /a.mp3",
    ],
}
LASTING = [
    "AssertionError: audio is longer than 30 s",
    "ValueError: prompt has 512 tokens, at most 500 are allowed",
    "404 Client Error: Not Found for url: https://voices.test/a/source_audio.mp3",
    "Input validation error",
    "list index out of range",
    "PANIC",
    "E9999",
    "",
    None,
    {"code": 503},
]


@pytest.mark.parametrize(
    ("code", "words"), [(code, words) for code in PASSING for words in PASSING[code]]
)
def test_what_passes_is_told_by_its_words(code, words):
    """It is spoken anew, at most twice."""
    failure = failed(words, ["你好"])
    assert (failure.code, failure.treatment) == (code, Treatment.LOST)
    assert failure.failure.replacements == 2


@pytest.mark.parametrize("words", LASTING)
def test_what_nobody_knows_is_permanent(words):
    """It would fail again, and be paid for again."""
    failure = failed(words, ["你好"])
    assert (failure.code, failure.treatment) == ("prediction_failed", Treatment.PERMANENT)
    assert not isinstance(words, str) or words in failure.message


def test_the_words_count_wherever_they_stand():
    """At the end of a long trace, of which the log keeps the beginning."""
    trace = "Traceback (most recent call last):\n" + "  File ...\n" * 500 + "CUDA out of memory"
    assert failed(trace, ["你好"]).code == "prediction_crowded_out"


def test_what_was_said_decides_nothing():
    """A text that speaks of time-outs would else be paid for three times."""
    said = "The server said 503 Service Unavailable, and then the connection timed out."
    assert failed(f"AssertionError: cannot say '{said}'", [said]).code == "prediction_failed"
