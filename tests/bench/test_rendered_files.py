"""A role's files in one module call against one template task for each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.bench.conftest import Comparison

if TYPE_CHECKING:
    from tests.unit.provision.conftest import Site

FILES = 8


def test_one_call_for_all_files(site: Site) -> None:
    names = [f"file{number}.conf" for number in range(FILES)]
    for name in names:
        site.template(f"{name}.j2", "value = {{ 1 + 1 }}\n")
    target = site.folder / "target"
    target.mkdir()
    entries = [{"template": f"{name}.j2", "dest": str(target / name), "mode": "0644"} for name in names]
    one_call: list[dict[str, Any]] = [{"name": "All", "rendered_files": {"files": entries}}]
    one_each: list[dict[str, Any]] = [
        {
            "name": name,
            "ansible.builtin.template": {"src": f"{name}.j2", "dest": str(target / name), "mode": "0644"},
        }
        for name in names
    ]

    def seconds(tasks: list[dict[str, Any]]) -> float:
        started = time.perf_counter()
        run = site.play(tasks)
        assert run.returncode == 0, run.output
        return time.perf_counter() - started

    ratio = Comparison(
        f"{FILES} unchanged files: one rendered_files",
        lambda: seconds(one_call),
        "a template task for each",
        lambda: seconds(one_each),
    ).measure()

    assert ratio < 1
