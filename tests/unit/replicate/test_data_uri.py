"""Data URIs as models write them."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.http.errors import TooLarge
from tts.replicate.data_uri import Broken, decoded

SOUND = bytes(range(256))


@given(
    data=st.binary(max_size=300),
    url_safe=st.booleans(),
    padded=st.booleans(),
    width=st.sampled_from([0, 4, 76]),
    line=st.sampled_from(["\n", "\r\n", "%0A", " "]),
)
def test_every_writing_of_base64_is_read(data, url_safe, padded, width, line):
    """Either alphabet, with padding or without, on one line or on many."""
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data).decode()
    text = text if padded else text.rstrip("=")
    if width:
        text = line.join(text[i : i + width] for i in range(0, len(text), width))
    assert decoded(f"data:audio/wav;base64,{text}", 1000) == data


@pytest.mark.parametrize("uri", ["data:,RIFF%00", "DATA:audio/wav,RIFF%00"])
def test_without_base64_it_is_percent_encoded(uri):
    """As the standard has it."""
    assert decoded(uri, 1000) == b"RIFF\0"


@pytest.mark.parametrize(
    "uri",
    ["data:audio/wav;base64,%%%", "data:audio/wav;base64", "data:x;base64,A", "data:x;base64,A=A="],
)
def test_what_cannot_be_decoded_is_broken(uri):
    """Nothing is guessed."""
    with pytest.raises(Broken):
        decoded(uri, 1000)


@pytest.mark.parametrize("uri", ["data:," + "x" * 101, "data:," + "x" * 500])
def test_what_is_longer_than_the_limit_is_refused(uri):
    """Also before it is decoded."""
    with pytest.raises(TooLarge):
        decoded(uri, 100)
