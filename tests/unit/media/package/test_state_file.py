"""`state.json`: what was written is read, and anything else is refused before it can do harm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.media.package.state_file import StateError, dump_state, load_state
from appliance.secrets.keyring import Keyring
from tests.unit.media.package.handmade import run
from tests.unit.media.package.published import Workbench, options


def written(bench: Workbench) -> dict[str, Any]:
    packager = bench.packager()
    run(packager, 5)
    document = json.loads((bench.directory / "state.json").read_bytes())
    assert isinstance(document, dict)
    return document


def test_what_was_written_is_read(bench: Workbench) -> None:
    written(bench)
    data = (bench.directory / "state.json").read_bytes()
    assert dump_state(load_state(data)) == data


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("epoch",), 5),
        (("epoch",), "../.."),
        (("target_duration",), "2"),
        (("target_duration",), 0),
        (("container",), "ts"),
        (("next_msn",), None),
        (("next_base",), -1),
        (("breaks",), [None]),
        (("breaks",), 3),
        (("kid",), ["1-aa"]),
        (("kid",), '1"\n'),
        (("kid_since",), "now"),
        (("finished",), 0),
        (("renditions",), [7]),
        (("renditions", 0, "name"), "../720p"),
        (("renditions", 0, "kind"), "text"),
        (("renditions", 0, "name"), "360p"),
        (("renditions", 0, "codecs"), None),
        (("renditions", 0, "width"), 1.5),
        (("renditions", 0, "peak"), float("nan")),
        (("renditions", 0, "inits"), {}),
        (("renditions", 0, "inits"), []),
        (("renditions", 0, "entries"), None),
        (("renditions", 0, "entries", 0), []),
        (("renditions", 0, "entries", 1, "msn"), 7),
        (("renditions", 0, "entries", 0, "starts_at"), 1e300),
        (("renditions", 0, "entries", 0, "duration"), "2"),
        (("renditions", 0, "entries", 0, "size"), True),
        (("renditions", 0, "entries", 0, "iv"), "00"),
        (("renditions", 0, "entries", 0, "gap"), None),
        (("renditions", 0, "entries", 0, "more"), 1),
    ],
)
def test_another_type_or_value_within_is_set_aside(
    bench: Workbench, place: tuple[str | int, ...], value: object, caplog: pytest.LogCaptureFixture
) -> None:
    document = written(bench)
    inner: Any = document
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    text = json.dumps(document)
    (bench.directory / "state.json").write_text(text)
    packager = bench.packager()
    assert packager.epoch > str(document["epoch"])
    assert "it is set aside as state.json.refused, and a new epoch begins" in caplog.text
    assert (bench.directory / "state.json.refused").read_text() == text
    run(packager, 4, at=100)
    bench.check(packager.epoch)
    packager.remove()
    assert not bench.directory.exists()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    bench = Workbench(tmp_path_factory.mktemp("hls"), Keyring.create(b"m" * 32), options())
    run(bench.packager(), 5)
    return (bench.directory / "state.json").read_bytes()


@settings(max_examples=200)
@given(data=st.data())
def test_whatever_stands_there_it_is_a_state_or_refused(state: bytes, data: st.DataObject) -> None:
    inner: Any = json.loads(state)
    document = inner
    while True:
        keys = sorted(inner) if isinstance(inner, dict) else range(len(inner))
        key = data.draw(st.sampled_from(list(keys)))
        if not inner[key] or not isinstance(inner[key], dict | list) or data.draw(st.booleans()):
            inner[key] = data.draw(VALUES)
            break
        inner = inner[key]
    try:
        loaded = load_state(json.dumps(document).encode())
    except StateError:
        return
    assert load_state(dump_state(loaded)) == loaded
