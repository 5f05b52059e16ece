"""The dashboard as nginx serves it: to whom, under which policy, and what it passes on."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

if TYPE_CHECKING:
    from .conftest import Control, Delivery

SOURCE = Path(__file__).resolve().parents[4] / "files" / "dashboard"
MODULES = sorted(path.name for path in SOURCE.glob("*.js"))


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    root = shutil.copytree(SOURCE, tmp_path / "dashboard")  # as on a host, where no file is a link
    return {"_delivery_dashboard_root": str(root), **getattr(request, "param", {})}


def test_the_page_may_do_nothing_but_show_what_is_from_here(delivery: Delivery) -> None:
    answer, body = delivery.ask("/dashboard")
    assert (answer.status, body) == (200, (SOURCE / "index.html").read_bytes())
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "frame-ancestors 'none'" in policy
    assert re.findall(r"unsafe|data:|blob:|https?:|\*", policy) == []
    text = body.decode()
    assert re.findall(r"<style|style=|\son\w+=|<script(?! type=\"module\" src=)", text) == []
    for name in (*MODULES, "dashboard.css", "icon.svg"):
        asset, content = delivery.ask(f"/dashboard/-/{name}")
        assert (asset.status, content) == (200, (SOURCE / name).read_bytes())
        assert asset.headers["Content-Security-Policy"] == policy


def test_the_page_names_its_modules_beforehand() -> None:
    page = (SOURCE / "index.html").read_text()
    assert sorted(re.findall(r'(?:modulepreload" href|src)="/dashboard/-/([a-z-]+\.js)"', page)) == MODULES


@pytest.mark.usefixtures("lookups")
def test_a_host_gets_all_of_it_and_nothing_else() -> None:
    loader = DataLoader()
    role = SOURCE.parents[1] / "roles" / "delivery"
    known = loader.load_from_file(str(role / "vars/main.yml"), trusted_as_template=True)
    templar = Templar(loader=loader, variables={**known, "role_path": str(role)})
    files = templar.template(trust_as_template("{{ _delivery_dashboard_files }}"))
    named = {"index.html", "dashboard.css", "icon.svg", *MODULES}
    root = known["_delivery_dashboard_root"]
    assert {(file["src"], file["dest"]) for file in files} == {
        (str((SOURCE / name).resolve()), f"{root}/{name}") for name in named
    }


def test_the_cookie_reaches_the_control_service_from_here_alone(delivery: Delivery, control: Control) -> None:
    for method, path in (("GET", "/dashboard/session"), ("DELETE", "/dashboard/streams/demo/publisher")):
        sent = {"Cookie": "operator=x", "X_Forwarded_For": "192.0.2.9", "X_Forwarded_Proto": "https"}
        if method == "DELETE":  # Python's stand-in knows GET alone
            assert delivery.ask(path, method, **sent)[0].status == 501
            continue
        answer, _ = delivery.ask(path, method, **sent)
        assert answer.headers["X-Asked"] == path
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        asked = control.asked[-1]
        assert (asked["Cookie"], asked["X-Forwarded-Proto"]) == ("operator=x", "http")
        assert asked["X-Forwarded-For"] == "127.0.0.1"
        assert asked["Host"] == f"127.0.0.1:{delivery.port}"  # with its port, to be compared with the origin
    delivery.ask("/streams/active", Cookie="operator=x")
    assert "Cookie" not in control.asked[-1]


def test_no_other_site_may_ask_with_our_header(delivery: Delivery) -> None:
    answer, _ = delivery.ask("/dashboard/session", "OPTIONS", Origin="https://www.example.org")
    assert "x-dashboard" not in answer.headers["Access-Control-Allow-Headers"].lower()
    assert answer.headers["Access-Control-Allow-Credentials"] is None
    assert delivery.ask("/dashboard/session", "PUT")[0].status == 405


@pytest.mark.parametrize(
    "settings",
    [{"delivery_trusted_proxies": ["127.0.0.1"], "delivery_dashboard_networks": ["192.0.2.9"]}],
    indirect=True,
)
def test_a_proxy_in_front_says_that_it_took_https(delivery: Delivery, control: Control) -> None:
    sent = {"X_Forwarded_For": "192.0.2.9", "X_Forwarded_Proto": "https"}
    assert delivery.ask("/dashboard/session", **sent)[0].status == 200
    assert control.asked[-1]["X-Forwarded-Proto"] == "https"


@pytest.mark.parametrize("settings", [{"delivery_dashboard_networks": ["192.0.2.0/24"]}], indirect=True)
def test_other_networks_see_nothing_of_it(delivery: Delivery) -> None:
    for path in ("/dashboard", "/dashboard/-/page.js", "/dashboard/session"):
        assert delivery.ask(path)[0].status == 403


@pytest.mark.parametrize("settings", [{"delivery_dashboard": False}], indirect=True)
def test_there_may_be_none(delivery: Delivery) -> None:
    for path in ("/dashboard", "/dashboard/-/page.js", "/dashboard/session"):
        assert delivery.ask(path)[0].status == 404
