"""JPEGs out of a byte stream that is cut anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.media.encode.thumbnails import THUMBNAIL, Thumbnails
from appliance.media.storage import Storage, StorageError

_PICTURES = [b"\xff\xd8" + bytes([number]) * 100 + b"\xff\xd9" for number in range(3)]


@pytest.mark.parametrize("step", [1, 7, 103, 104, 1000])
def test_the_newest_whole_picture_is_kept(tmp_path: Path, step: int) -> None:
    thumbnails = Thumbnails(Storage(tmp_path))
    stream = b"".join(_PICTURES) + _PICTURES[0][:50]
    for at in range(0, len(stream), step):
        thumbnails.feed(stream[at : at + step])
    assert (tmp_path / THUMBNAIL).read_bytes() == _PICTURES[-1]


def test_what_never_ends_is_not_kept_in_memory(tmp_path: Path) -> None:
    thumbnails = Thumbnails(Storage(tmp_path))
    for _ in range(20):
        thumbnails.feed(bytes(1024 * 1024))
    assert len(thumbnails._pending) <= 4 * 1024 * 1024
    assert not (tmp_path / THUMBNAIL).exists()


def test_a_full_disk_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    storage = Storage(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise StorageError("thumbnail.jpg: no space", full=True)

    monkeypatch.setattr(storage, "write", full)
    thumbnails = Thumbnails(storage)
    for picture in _PICTURES:
        thumbnails.feed(picture)
    assert caplog.text.count("no thumbnail") == 1
