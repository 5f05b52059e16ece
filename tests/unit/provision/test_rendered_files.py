"""The action plugin and module `rendered_files`, by real playbook runs on this machine."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from typing import TYPE_CHECKING, Any

import pytest

from appliance.provision.modules.rendered_files import Change, Wanted, replace

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Site

ME = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}


def task(files: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return a task that installs the files as the user who runs the tests."""
    arguments = {key: more.pop(key) for key in ("directories", "diff_hidden") if key in more}
    return {
        "name": "Write",
        "rendered_files": {"files": [{**ME, **file} for file in files], **arguments},
        **more,
    }


def test_writes_once_and_then_leaves_alone(site: Site, tmp_path: Path) -> None:
    site.template("a.j2", "speed = {{ speed }}\n")
    site.file("b", "plain {{ not a template }}\n")
    work = task(
        [
            {"template": "a.j2", "dest": f"{tmp_path}/out/a.conf", "vars": {"speed": 3}},
            {"src": "b", "dest": f"{tmp_path}/out/b", "mode": "0600"},
        ],
        directories=[{"path": f"{tmp_path}/out", "mode": "0750", **ME}],
    )
    first = site.play([work])
    assert first.returncode == 0, first.output
    assert first.tasks["Write"]["changed_files"] == [
        f"{tmp_path}/out",
        f"{tmp_path}/out/a.conf",
        f"{tmp_path}/out/b",
    ]
    assert (tmp_path / "out/a.conf").read_text() == "speed = 3\n"
    assert (tmp_path / "out/b").read_text() == "plain {{ not a template }}\n"
    modes = [stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) for name in ("", "a.conf", "b")]
    assert modes == [0o750, 0o644, 0o600]

    second = site.play([work])
    assert (second.tasks["Write"]["changed"], second.tasks["Write"]["changed_files"]) == (False, [])

    (tmp_path / "out/b").chmod(0o644)
    third = site.play([work])
    assert third.tasks["Write"]["changed_files"] == [f"{tmp_path}/out/b"]
    assert stat.S_IMODE((tmp_path / "out/b").stat().st_mode) == 0o600


def test_a_template_may_include_its_neighbour(site: Site, tmp_path: Path) -> None:
    site.template("a.j2", "first\n{% include 'common.j2' %}\n\nlast\n")
    site.template("common.j2", "speed = {{ speed }}\n")
    done = site.play([task([{"template": "a.j2", "dest": f"{tmp_path}/a", "vars": {"speed": 3}}])])
    assert done.returncode == 0, done.output
    assert (tmp_path / "a").read_text().split() == ["first", "speed", "=", "3", "last"]


def test_one_refused_file_leaves_all_as_they_were(site: Site, tmp_path: Path) -> None:
    for name in ("good", "bad"):
        (tmp_path / name).write_text("old\n")
        site.file(name, f"new {name}\n")
    run = site.play(
        [
            task(
                [
                    {"src": "good", "dest": f"{tmp_path}/good", "validate": "grep -q good %s"},
                    {"src": "bad", "dest": f"{tmp_path}/bad", "validate": "grep nowhere %s"},
                ]
            )
        ]
    )
    assert run.returncode == 2
    bad = f"{tmp_path}/bad"
    assert f"{bad} was refused by `grep nowhere {bad}` (exit 1), nothing was replaced" in run.failure
    assert [(tmp_path / name).read_text() for name in ("good", "bad")] == ["old\n", "old\n"]


def test_validators_see_the_set_side_by_side(site: Site, tmp_path: Path) -> None:
    site.file("one", "1\n")
    site.file("two", "2\n")
    files = [
        {"src": "two", "dest": f"{tmp_path}/out/two", "validate": "sh -c 'test -f $(dirname %s)/one'"},
        {"src": "one", "dest": f"{tmp_path}/out/one"},
    ]
    run = site.play([task(files, directories=[{"path": f"{tmp_path}/out", **ME}])])
    assert run.returncode == 0, run.output


def test_check_mode_tells_and_does_nothing(site: Site, tmp_path: Path) -> None:
    site.file("a", "new\n")
    work = task(
        [{"src": "a", "dest": f"{tmp_path}/out/a", "owner": "user-of-a-later-task"}],
        directories=[{"path": f"{tmp_path}/out", **ME}],
    )
    run = site.play([work], "--check", "--diff")
    assert run.returncode == 0, run.output
    assert run.tasks["Write"]["changed_files"] == [f"{tmp_path}/out", f"{tmp_path}/out/a"]
    assert run.tasks["Write"]["diff"][1]["after"].endswith("new\n")
    assert not (tmp_path / "out").exists()


def test_a_secret_shows_nowhere(site: Site, tmp_path: Path) -> None:
    site.template("a.j2", "{{ word }}\n")
    work = task([{"template": "a.j2", "dest": f"{tmp_path}/a", "mode": "0600"}], diff_hidden=True)
    run = site.play([work], "--diff", "-vvv", vars={"word": "open-sesame"})
    assert (tmp_path / "a").read_text() == "open-sesame\n"
    assert run.tasks["Write"]["changed"]
    assert "open-sesame" not in run.output


def test_handlers_of_changed_files_only(site: Site, tmp_path: Path) -> None:
    site.file("a", "a\n")
    site.file("b", "b\n")
    (tmp_path / "b").write_text("b\n")
    handlers = [
        {"name": name, "ansible.builtin.debug": {"msg": name}} for name in ("any", "only a", "only b")
    ]
    work = task(
        [
            {"src": "a", "dest": f"{tmp_path}/a", "notify": "only a"},
            {"src": "b", "dest": f"{tmp_path}/b", "notify": ["only b"]},
        ],
        notify=["any"],
    )
    run = site.play([work], handlers=handlers)
    assert set(run.tasks) == {"Write", "any", "only a"}


def test_a_file_is_removed(site: Site, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    work = task([{"dest": f"{tmp_path}/old", "state": "absent"}])
    assert site.play([work]).tasks["Write"]["changed"]
    assert not (tmp_path / "old").exists()
    assert not site.play([work]).tasks["Write"]["changed"]


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"template": "undefined.j2"}, "undefined.j2 (for "),
    ({"src": "a", "mode": 420}, 'a quoted octal string such as "0644" is allowed'),
    ({"src": "a", "owner": "nobody-here"}, "the user 'nobody-here' does not exist on this host"),
    ({"src": "a", "permissions": "0644"}, "unknown key permissions; known are"),
    ({"src": "a", "template": "a.j2"}, "one of `template` and `src` is needed"),
    ({"src": "a", "validate": "true"}, "lacks %s"),
    ({"src": "missing"}, "missing"),
]


def test_a_mistake_is_named_and_nothing_written(site: Site, tmp_path: Path) -> None:
    site.file("a", "a\n")
    site.template("undefined.j2", "{{ nobody_knows_me }}\n")
    tasks = [
        {**task([{"dest": f"{tmp_path}/a", **file}]), "name": str(number), "ignore_errors": True}
        for number, (file, _) in enumerate(MISTAKES)
    ]
    run = site.play(tasks)
    for number, (_, message) in enumerate(MISTAKES):
        assert run.tasks[str(number)]["failed"]
        assert message in run.tasks[str(number)]["msg"]
    assert not (tmp_path / "a").exists()


def test_one_place_is_named_once(site: Site, tmp_path: Path) -> None:
    site.file("a", "a\n")
    files = [{"src": "a", "dest": f"{tmp_path}/a"}, {"src": "a", "dest": f"{tmp_path}/./a"}]
    run = site.play([task(files)])
    assert f"{tmp_path}/a is named twice" in run.failure
    assert not (tmp_path / "a").exists()


def test_a_place_that_is_spelt_differently_notifies_its_handler(site: Site, tmp_path: Path) -> None:
    site.file("a", "a\n")
    run = site.play(
        [task([{"src": "a", "dest": f"{tmp_path}//a", "notify": "told"}])],
        handlers=[{"name": "told", "ansible.builtin.debug": {"msg": "told"}}],
    )
    assert "told" in run.tasks


def change(path: Path, content: bytes | None) -> Change:
    wanted = Wanted(path=path, uid=os.getuid(), gid=os.getgid(), mode=0o640, content=content)
    return Change(wanted, None, "")


def test_a_file_that_cannot_be_replaced_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    """Seen between the comparison and the renames: a directory where a file was."""
    (tmp_path / "old").write_text("old\n")
    (tmp_path / "link").symlink_to("old")
    (tmp_path / "gone").write_text("stays\n")
    (tmp_path / "blocked").mkdir()
    before = (tmp_path / "old").stat()
    names = ["old", "link", "new", "blocked"]
    changes = [change(tmp_path / name, b"new\n") for name in names]
    with pytest.raises(OSError, match="blocked"):
        replace([*changes, change(tmp_path / "gone", None)])
    with pytest.raises(OSError, match="blocked"):
        replace([*changes[:3], change(tmp_path / "gone", None), change(tmp_path / "blocked", None)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blocked", "gone", "link", "old"]
    assert (tmp_path / "old").read_text() == "old\n"
    assert (tmp_path / "old").stat().st_ino == before.st_ino
    assert (tmp_path / "link").readlink().name == "old"


def test_nothing_but_the_files_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old\n")
    (tmp_path / "b").write_text("old\n")
    replace([change(tmp_path / "a", b"new\n"), change(tmp_path / "b", None), change(tmp_path / "c", b"c\n")])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "new\n", "c": "c\n"}
