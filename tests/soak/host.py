"""What a stream costs its host at one moment, and where on that host a key can be found."""

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


# Runs on the host: which files below the folders that a web server could serve hold a content key (given as
# hex digits) or a master key: as bytes, hex digits or base64. Delivery remembers for a second what the
# control service answered its viewers (proxy_cache_path keys), in files that nobody else may read.
_SEARCH = """
import base64, json, os, sys
OWN = "/run/appliance-delivery/keys/"
keys = [bytes.fromhex(text) for text in sys.argv[1:]]
with open("/etc/appliance/credentials/content-keyring") as file:
    keys += [bytes.fromhex(item["master"]) for item in json.load(file)["generations"].values()]
forms = [form for key in keys for form in (key, key.hex().encode(), base64.b64encode(key).rstrip(b"="))]
for root in ("/srv", "/var/www", "/usr/share/nginx", "/run/appliance-delivery", "/etc/nginx"):
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.isfile(path):
                continue
            try:
                if path.startswith(OWN) and not os.stat(path).st_mode & 0o077:
                    continue
                with open(path, "rb") as file:
                    content = file.read()
            except FileNotFoundError:
                continue
            if any(form in content for form in forms):
                print(path)
"""


def places_of(site: Site, keys: list[bytes]) -> list[str]:
    """Return the files below web roots that hold one of `keys`, or a master key that they come from."""
    return site.run("python3", "-c", _SEARCH, *(key.hex() for key in keys)).stdout.split()
