"""The ingest server's XML: who is on air, and nothing that an encoder could write into it to blind us."""

from __future__ import annotations

import pytest

from appliance.control.stat import IngestStatus, Publisher, StatUnavailableError, parse_stat
from appliance.names import StreamName

DEMO = StreamName("demo")

# As the module writes it (ngx_rtmp_stat_module.c, 1.2.2), shortened.
XML = b"""<?xml version="1.0" encoding="utf-8" ?>
<?xml-stylesheet type="text/xsl" href="stat.xsl" ?>
<rtmp><nginx_version>1.26.3</nginx_version><server>
<application><name>live</name><live>
<stream><name>demo</name><time>5009</time><bw_in>1200</bw_in>
 <client><id>12</id><address>192.0.2.7</address><time>5009</time><flashver>FMLE/3.0</flashver><publishing/><active/></client>
 <client><id>13</id><address>127.0.0.1</address><time>4000</time><flashver>LNX</flashver><active/></client>
 <client><id>14</id><address>192.0.2.8</address><time>100</time><flashver>LNX</flashver><active/></client>
<nclients>3</nclients><publishing/><active/></stream>
<stream><name>waiting</name><client><id>15</id><address>127.0.0.1</address></client></stream>
<stream><name>../evil</name><client><id>16</id><address>192.0.2.9</address><publishing/></client></stream>
<nclients>5</nclients></live></application>
<application><name>other</name><live><stream><name>third</name>
 <client><id>17</id><address>192.0.2.9</address><publishing/></client></stream></live></application>
</server></rtmp>"""


def test_publishers_and_readers() -> None:
    status = parse_stat(XML)
    assert status == IngestStatus(
        publishers={DEMO: Publisher("12", "192.0.2.7")},
        readers={DEMO: frozenset({"13"}), StreamName("waiting"): frozenset({"15"})},
        clients={"12", "13", "14", "15"},
    )
    assert status.lists(DEMO, "12")
    assert not status.lists(DEMO, "13")
    assert not status.lists(StreamName("third"), "17")


def test_control_characters_of_an_encoder_do_not_blind_us() -> None:
    assert parse_stat(XML.replace(b"FMLE/3.0", b"FM\x00\x01\xff\x0bLE")).lists(DEMO, "12")


@pytest.mark.parametrize(
    "xml",
    [
        b"",
        b"<html>",
        XML[:300],
        b"<!DOCTYPE rtmp [<!ENTITY a 'b'>]><rtmp>&a;</rtmp>",
        b"<!DOCTYPE rtmp SYSTEM 'file:///etc/passwd'><rtmp/>",
    ],
)
def test_what_is_not_the_modules_xml_is_refused(xml: bytes) -> None:
    with pytest.raises(StatUnavailableError):
        parse_stat(xml)
