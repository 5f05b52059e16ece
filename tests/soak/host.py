"""What a stream costs its host at one moment: memory by what holds it, files and bytes on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.support.site import Site

# Runs on the host: resident memory (kB) by unit and program, files and bytes below the stream's directory.
_LOOK = """
import collections, json, os, subprocess, sys
rss = collections.Counter()
units = ("stream@", "appliance-control", "appliance-delivery", "appliance-ingest", "valkey")
listed = subprocess.run(["ps", "-eo", "rss=,comm=,unit="], capture_output=True, text=True).stdout
for line in listed.splitlines():
    size, program, unit = line.split(None, 2)
    if unit.startswith(units):
        rss[f"{unit.partition('.')[0].partition('@')[0]} {program}"] += int(size)
files = size = 0
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        try:
            size += os.stat(os.path.join(folder, name)).st_size
        except FileNotFoundError:
            continue
        files += 1
print(json.dumps({"rss_kb": rss, "files": files, "bytes": size}))
"""


@dataclass(frozen=True)
class Sample:
    """One look at the host."""

    rss_kb: dict[str, int]
    files: int
    bytes: int


def look(site: Site, stream: str) -> Sample:
    """Look at the host of `stream`."""
    return Sample(**json.loads(site.run("python3", "-c", _LOOK, f"/srv/hls/{stream}").stdout))


# Runs on the host: which readable places below the web root hold the sixteen bytes of a key.
_SEARCH = """
import os, sys
key = bytes.fromhex(sys.argv[2])
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        try:
            with open(os.path.join(folder, name), "rb") as file:
                if key in file.read():
                    print(os.path.join(folder, name))
        except FileNotFoundError:
            pass
"""


def places_of(site: Site, key: bytes) -> list[str]:
    """Return the files of the media root that hold `key`."""
    return site.run("python3", "-c", _SEARCH, "/srv/hls", key.hex()).stdout.split()
