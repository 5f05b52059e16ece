"""A live-streaming appliance: RTMP in, encrypted adaptive HLS out.

The sub-packages follow a stream's way and who looks after it: ``media`` (receive, encode, package, encrypt),
``control`` (who may publish and watch), ``secrets`` (the keys, and what else must not be shown), ``ops``
(what an operator does to a whole host), ``state`` (what is shared in Valkey), ``provision`` (what Ansible
loads from us), ``lab`` (hosts to try everything on), ``demo`` (one of them with a stream on it) and ``cli``
(the ``appliance`` command).

What several of them use: ``settings`` (of a host; beside it ``settings_file``, how they are written,
``setting_rules``, what each may be, and ``settings_together``, which do not go together), ``names`` (of
streams), ``address`` (whom one stands for), ``digest`` (short names for texts), ``printable`` (texts of
strangers, for a terminal), ``plain_json`` (theirs as JSON), ``errors`` (what an operator is told),
``program`` (how the command is called here), ``journal`` (log lines), ``sdnotify`` (signs of life),
``systemctl`` (what systemd says to an operator) and ``nvidia_smi`` (what GPUs say).
"""

__version__ = "0.1.0"
