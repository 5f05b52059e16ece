"""Choose a package from the controller's cache, or say that it has to be built; no call to the host.

A package's version ends in ``+r`` and eight hex digits of its recipe's hash, so a package that was made by
another recipe (other configure arguments, other patches) is not taken for the wanted one.

Task arguments:

``name``        Debian package name
``software``    what it is made of, as messages name it
``cache``       folder on the controller that holds the .deb files of one release and architecture
``recipes``     folders on the controller whose files are the recipe
``ingredients`` what else decides the result (a dict, as an upstream checksum)
``version``     of the software or of a package; empty: the newest cached
``parts``       what else is compiled in: a version names each with its own, behind that of the software, as
                ``+rtmp1.2.2-1``

Returns ``recipe_hash`` (SHA-256, hex), ``package`` (path; empty: has to be built), ``package_version``, and
``asked``, which is the same for hosts that one package does for.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

HASH_DIGITS = 8
REVISION = re.compile(rf"\+r[0-9a-f]{{{HASH_DIGITS}}}$")


def recipe_hash(recipes: Sequence[Path], ingredients: dict[str, Any]) -> str:
    """Return the SHA-256 (hex) over names and contents of the recipes' files and over the ingredients."""
    digest = hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode())
    files = [(path.relative_to(recipe), path) for recipe in recipes for path in recipe.rglob("*")]
    for relative, path in sorted(files):
        if path.is_file() and "__pycache__" not in relative.parts:
            content = path.read_bytes()
            digest.update(f"\0{relative}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def compare_versions(first: str, second: str) -> int:
    """Return -1, 0 or 1 by Debian's rules (deb-version(7)), which only dpkg itself knows in full."""
    for relation, value in (("lt", -1), ("gt", 1)):
        if (
            subprocess.run(["dpkg", "--compare-versions", first, relation, second], check=False).returncode
            == 0
        ):
            return value
    return 0


def software_version(package_version: str, parts: Sequence[str]) -> str:
    """Return the version of the software that a package is made of.

    Parts are known by name, since what Debian itself puts behind a plus looks the same (``1.0+dfsg1-2``).
    """
    version = REVISION.sub("", package_version)
    names = "|".join(map(re.escape, parts))
    return re.sub(rf"(\+({names})[0-9.]+-[0-9]+)+$", "", version) if names else version


def matches(package_version: str, wanted: str, recipe: str, parts: Sequence[str] = ()) -> bool:
    """Say whether a cached package is what the operator asked for.

    A whole package version names exactly that package, whatever recipe made it: that is the way back after
    a changed recipe. A version of the software (``1.26.3-3+deb13u7``, or ``1.26.3`` for any Debian revision
    of it) and an empty one mean: made by the present recipe.
    """
    if wanted == package_version:
        return True
    if not package_version.endswith(f"+r{recipe[:HASH_DIGITS]}"):
        return False
    software = software_version(package_version, parts)
    # Debian's epoch, as in 7:7.1.5-0+deb13u1, is in no package of ours.
    return wanted.rpartition(":")[2] in ("", software, software.rpartition("-")[0])


def choose(
    cache: Path, name: str, wanted: str, recipe: str, parts: Sequence[str] = ()
) -> tuple[Path, str] | None:
    """Return path and version of the newest cached package that matches, or ``None``."""
    found = {path.name.split("_")[1]: path for path in cache.glob(f"{name}_*_*.deb")}
    fitting = [version for version in found if matches(version, wanted, recipe, parts)]
    if not fitting:
        return None
    newest = max(fitting, key=functools.cmp_to_key(compare_versions))
    return found[newest], newest


class ActionModule(ActionBase):
    """Ansible's entry point; one instance for each task and host."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look into the cache.

        Raises
        ------
        AnsibleActionFail
            A whole package version was asked for that is not cached: nothing could build it again.
        """
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._task.args
        name, software = arguments["name"], arguments["software"]
        wanted, cache = str(arguments["version"]), Path(arguments["cache"])
        recipes = [Path(recipe) for recipe in arguments["recipes"]]
        digest = recipe_hash(recipes, dict(arguments["ingredients"]))
        chosen = choose(cache, name, wanted, digest, list(arguments["parts"]))
        if chosen is None and REVISION.search(wanted):
            held = sorted(path.name for path in cache.glob(f"{name}_*.deb")) or ["nothing"]
            raise AnsibleActionFail(
                f"{software}_version '{wanted}' names a built package that is not cached; {cache} holds "
                f"{', '.join(held)}. Name one of them, or a version of {software}, or leave it empty."
            )
        package, version = chosen or ("", "")
        result.update(
            changed=False,
            recipe_hash=digest,
            package=str(package),
            package_version=version,
            asked=f"{name} {wanted} {digest} {cache}",
        )
        return result
