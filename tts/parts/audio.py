"""Where audio lies, by the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from tts.audio.folder import FolderAudio
from tts.config import ConfigError, Settings
from tts.observability.metrics import observe_audio_folder
from tts.parts.trust import trust_of

if TYPE_CHECKING:
    from tts.audio.minio import MinioAudio

Audio: TypeAlias = "FolderAudio | MinioAudio"


def audio_store(settings: Settings, *, knows_readers: bool) -> Audio:
    """The bucket, or else the folder; ``knows_readers`` as in :class:`MinioAudio`.

    Raises:
        ConfigError: the bucket's endpoint cannot be read.
    """
    if not settings.minio_endpoint:
        folder = settings.data_dir / "audio"
        return FolderAudio(
            folder,
            settings.gateway_url,
            keep_days=settings.audio_keep_days,
            observe=observe_audio_folder,
        )
    return bucket(settings, knows_readers=knows_readers)


def bucket(settings: Settings, *, knows_readers: bool) -> MinioAudio:
    """The bucket that the settings name.

    Raises:
        ConfigError: its endpoint cannot be read.
    """
    from tts.audio.minio import MinioAudio  # noqa: PLC0415 -- only who has a bucket pays for it

    try:
        return MinioAudio(
            settings.minio_endpoint,
            access_key=settings.minio_access_key,
            secret_key=settings.minio_secret_key.get_secret_value(),
            bucket=settings.minio_bucket,
            region=settings.minio_region,
            secure=settings.minio_secure,
            public_endpoint=settings.minio_public_endpoint,
            presign_seconds=settings.presign_seconds,
            knows_readers=knows_readers,
            keep_days=settings.audio_keep_days,
            threads=settings.tts_concurrency,
            trust=trust_of(settings),
        )
    except ValueError as error:
        raise ConfigError(f"MINIO_ENDPOINT: {error}") from error
