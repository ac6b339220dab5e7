"""A process's parts: made when they are asked for, or given."""

from unittest.mock import Mock

from tests.builders import NOW
from tts.bootstrap import compose
from tts.config import Settings
from tts.queue.memory import MemoryQueue


async def test_a_part_that_is_given_is_the_one_that_all_others_use(tmp_path):
    """And nothing is made in its place: nobody has to say whom to ask for predictions."""
    settings = Settings(_env_file=None, data_dir=tmp_path)
    given = {"queue": MemoryQueue(), "predictions": Mock(), "templates": Mock()}
    async with compose(settings, **given, now=lambda: NOW, worker="w7") as parts:
        assert parts.resources.predictions._inner is given["predictions"]
        assert parts.resources.templates._inner is given["templates"]
        assert (parts.processor()._consumer, parts.processor()._worker) == (given["queue"], "w7")
        receipt, _ = await parts.application.request(template_id="t1", text="x")
        task, _ = await parts.application.load(receipt.id)
    assert task.created_on == NOW


async def test_what_nobody_asks_for_is_not_made(tmp_path):
    """The log alone is opened; audio, for instance, has no folder yet."""
    async with compose(Settings(_env_file=None, data_dir=tmp_path)) as parts:
        await parts.store.ready()
    assert not (tmp_path / "audio").exists()
