"""A live-streaming appliance: RTMP in, encrypted adaptive HLS out.

The sub-packages follow a stream's way and who looks after it: ``media`` (receive, encode, package, encrypt),
``control`` (who may publish and watch), ``state`` (what is shared in Valkey), ``provision`` (what Ansible
loads from us), ``lab`` (hosts to try everything on), ``demo`` (one of them with a stream on it) and ``cli``
(the ``appliance`` command).
"""

__version__ = "0.1.0"
