"""A disk that is nearly full is a note of health, before anything fails."""

from collections import namedtuple

import pytest

from tts.cli import data_folder

Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 -- as shutil has it


@pytest.mark.parametrize(("free", "noted"), [(0, 1), (999_999_999, 1), (10**9, 0)])
def test_little_is_left(tmp_path, monkeypatch, free, noted):
    """Less than a gigabyte; the path is for the log alone."""
    monkeypatch.setattr(data_folder.shutil, "disk_usage", lambda _: Usage(0, 0, free))
    notes = data_folder.disk_notes(tmp_path)
    assert len(notes) == noted
    assert str(tmp_path) not in "".join(notes)


def test_a_folder_that_is_not_there_is_no_full_one(tmp_path):
    """A relay has no use for it."""
    assert data_folder.disk_notes(tmp_path / "nothing") == []
