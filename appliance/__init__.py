"""A live-streaming appliance: RTMP in, encrypted adaptive HLS out.

Its packages stand on one another, and each imports only what is below it: ``secrets`` (the keys, and what
else must not be shown); ``state`` (what is shared in Valkey) and beside it ``media`` (receive, encode,
package, encrypt); ``health`` (what is wrong, and what mends it); ``control`` (who may publish and watch);
``ops`` (what an operator does to a whole host); on top ``cli`` (the ``appliance`` command) and ``provision``
(what Ansible loads from us). Apart from them, below ``cli`` alone, are ``lab`` (hosts to try everything on)
and ``demo`` (one of them with a stream on it). `tests/unit/test_layers.py` holds them to it.

At the bottom is what several of them use: ``settings`` (of a host; beside it ``settings_file``, how they are
written, ``setting_rules``, what each may be, and ``settings_together``, which do not go together), ``names``
(of streams), ``address`` (whom one stands for), ``digest`` (short names for texts), ``printable`` (texts of
strangers, for a terminal), ``output`` (tables and times for one), ``iso_time`` (times for programs),
``plain_json`` (texts of strangers as JSON), ``errors`` (what an operator is told), ``program`` (how the
command is called here), ``journal`` (log lines), ``sdnotify`` (signs of life), ``systemctl`` (what systemd
says to an operator) and ``nvidia_smi`` (what GPUs say).
"""

__version__ = "0.1.0"
