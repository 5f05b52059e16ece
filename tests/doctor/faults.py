"""What is broken on a host, how, and what the doctor has to say first."""

from __future__ import annotations

from tests.doctor.fault import Fault, changed_file

STREAM = "test-23"
UNIT = f"stream@{STREAM}.service"

_CREDENTIALS = "/etc/appliance/credentials"
_TLS = "/etc/appliance/tls/self-signed"
_VALKEY = (
    'valkey() { REDISCLI_AUTH=$(head -n1 /etc/appliance/credentials/valkey-password | cut -d" " -f1) '
    'valkey-cli -s /run/valkey/valkey.sock --no-auth-warning "$@" >/dev/null; };'
)
_MAIN = 'main() { systemctl show --value -p MainPID "$1"; };'
_WORKER = 'worker() { pgrep -P "$(systemctl show --value -p MainPID "$1")" -f "worker process" | head -n1; };'
_CERTIFICATE = (
    "make() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj /CN=other "
    f'-keyout {_TLS}.key -out {_TLS}.crt "$@" 2>/dev/null; chgrp appliance-delivery {_TLS}.key; '
    f"chmod 0640 {_TLS}.key; chmod 0644 {_TLS}.crt; }};"
)
_DROP_IN = "/run/systemd/system/appliance-delivery.service.d"
_GIVE_DELIVERY = (
    f"rm -r {_DROP_IN}; systemctl daemon-reload; systemctl reset-failed appliance-delivery; "
    "systemctl restart appliance-delivery"
)
_KEEP_TLS = f"cp -a {_TLS}.crt {_TLS}.crt.kept; cp -a {_TLS}.key {_TLS}.key.kept;"
_GIVE_TLS = f"mv {_TLS}.crt.kept {_TLS}.crt; mv {_TLS}.key.kept {_TLS}.key;"


FAULTS = [
    # the machine
    Fault(
        "media root full",
        "mount -o remount,size=96m /srv/hls; head -c 200M /dev/zero >/srv/hls/ballast || true",
        f"rm /srv/hls/ballast; mount -o remount,size=25% /srv/hls; systemctl restart {UNIT}",
        "space",
        "/srv/hls is full.*ballast",
    ),
    Fault(
        "media root out of inodes",
        "mount -o remount,nr_inodes=4000 /srv/hls; mkdir /srv/hls/.ballast; cd /srv/hls/.ballast; "
        "seq 4000 | xargs touch 2>/dev/null || true",
        f"rm -r /srv/hls/.ballast; mount -o remount,nr_inodes=200000 /srv/hls; systemctl restart {UNIT}",
        "space",
        "/srv/hls is (nearly )?full of files.*ballast",
    ),
    Fault(
        "media root read-only",
        # refused while a file is being written
        f"systemctl stop {UNIT}; mount -o remount,ro /srv/hls; systemctl start --no-block {UNIT}",
        f"mount -o remount,rw /srv/hls; systemctl reset-failed {UNIT}; systemctl restart {UNIT}",
        "space",
        "/srv/hls is read-only",
    ),
    Fault(
        "media root closed to delivery",
        "chmod 2700 /srv/hls",
        "chmod 2750 /srv/hls",
        "space",
        "/srv/hls is closed",
    ),
    Fault(
        "kernel setting changed",
        "sysctl -q -w net.ipv4.tcp_fin_timeout=60",
        "sysctl -q -w net.ipv4.tcp_fin_timeout=15",
        "kernel-settings",
        "tcp_fin_timeout is 60, configured is 15",
    ),
    Fault(
        "open files run out",
        f"mkdir -p {_DROP_IN}; printf '[Service]\\nLimitNOFILE=21\\n' >{_DROP_IN}/broken.conf; "
        "systemctl daemon-reload; systemctl restart appliance-delivery",
        _GIVE_DELIVERY,
        "open-files",
        "appliance-delivery",
    ),
    # what it was told
    changed_file(
        "settings refused",
        "/etc/appliance/appliance.yml",
        "echo 'window_segment: 10' >>/etc/appliance/appliance.yml",
        "settings",
        "window_segment: unknown setting",
    ),
    Fault(
        "settings closed to the services",
        "chmod 0600 /etc/appliance/appliance.yml",
        "chmod 0755 /etc/appliance; chmod 0644 /etc/appliance/appliance.yml",
        "settings",
        "closed to the services.*appliance-control, appliance-stream may not read it: mode 0600",
    ),
    changed_file(
        "secret missing",
        f"{_CREDENTIALS}/view-token-keys",
        f"rm {_CREDENTIALS}/view-token-keys",
        "credentials",
        "view-token-keys cannot be used",
    ),
    changed_file(
        "secret broken",
        f"{_CREDENTIALS}/content-keyring",
        f"chmod u+w {_CREDENTIALS}/content-keyring; echo broken >{_CREDENTIALS}/content-keyring",
        "credentials",
        "content-keyring cannot be used",
    ),
    Fault(
        "secret open to others",
        f"chmod 0444 {_CREDENTIALS}/admin-token",
        f"chmod 0400 {_CREDENTIALS}/admin-token",
        "credentials",
        "admin-token is open to others",
    ),
    Fault(
        "certificate over",
        f"{_CERTIFICATE} {_KEEP_TLS} make -not_before 20200101000000Z -not_after 20210101000000Z",
        _GIVE_TLS,
        "certificate",
        "certificate .* is over",
    ),
    Fault(
        "certificate ends soon",
        f"{_CERTIFICATE} {_KEEP_TLS} make -days 5; systemctl reload appliance-delivery",
        f"{_GIVE_TLS} systemctl reload appliance-delivery",
        "certificate",
        "ends soon",
    ),
    changed_file(
        "certificate gone", f"{_TLS}.crt", f"rm {_TLS}.crt", "certificate", "certificate .* cannot be read"
    ),
    Fault(
        "certificate not loaded",
        f"{_CERTIFICATE} {_KEEP_TLS} make -days 365",
        _GIVE_TLS,
        "certificate",
        "shows another certificate",
    ),
    changed_file(
        "ingest.conf broken",
        "/etc/nginx/ingest.conf",
        "echo 'listen_to everything;' >>/etc/nginx/ingest.conf",
        "nginx-configuration",
        'unknown directive "listen_to".*ingest.conf',
    ),
    changed_file(
        "delivery.conf broken",
        "/etc/nginx/delivery.conf",
        "sed -i 's/^worker_processes .*/worker_processes many;/' /etc/nginx/delivery.conf",
        "nginx-configuration",
        "delivery.conf.*worker_processes",
    ),
    Fault(
        "firewall not loaded",
        "nft delete table inet appliance",
        "systemctl reload appliance-firewall",
        "firewall",
        "the firewall is not loaded",
    ),
    Fault(
        "firewall closes a port",
        "nft insert rule inet appliance input tcp dport 1935 drop",
        "systemctl reload appliance-firewall",
        "firewall",
        "keeps port 1935 closed",
    ),
    Fault(
        "another firewall beside ours",
        "nft 'table inet other { chain input { type filter hook input priority 10; policy drop; "
        'ct state established,related accept; iif "lo" accept; tcp dport 22 accept; }; }\'',
        "nft delete table inet other",
        "firewall",
        "keeps port .* closed.*inet other input",
    ),
    Fault(
        "port taken by a stranger",
        "systemctl stop appliance-delivery; systemd-run -q --unit=squatter python3 -m http.server 8080; "
        "sleep 1; systemctl start --no-block appliance-delivery",
        "systemctl stop squatter; systemctl restart appliance-delivery; "
        "systemctl reset-failed appliance-delivery",
        "taken-ports",
        "port 8080 is taken.*python3.*squatter",
    ),
    # its services
    Fault(
        "Valkey stopped",
        "systemctl stop valkey-server",
        "systemctl start valkey-server",
        "units",
        "valkey-server.service does not run",
    ),
    Fault(
        "Valkey's log torn",
        # as after a full disk: zeros, and what was written behind them
        "systemctl stop valkey-server; cd /var/lib/valkey/appendonlydir; "
        "file=$(ls -t ./*.incr.aof | head -n1); head -c 2685 /dev/zero >>$file; "
        "printf '*1\\r\\n$4\\r\\nPING\\r\\n' >>$file; "
        "systemctl start valkey-server; true",
        "systemctl stop valkey-server; cd /var/lib/valkey/appendonlydir; "
        "yes | valkey-check-aof --fix appendonly.aof.manifest >/dev/null; systemctl start valkey-server",
        "valkey-log",
        "Valkey's log is torn",
    ),
    Fault(
        "Valkey frozen",
        f"{_MAIN} kill -STOP $(main valkey-server)",
        "systemctl restart valkey-server",  # the mend that is printed, which has to end it
        "valkey",
        "Valkey does not answer",
    ),
    Fault(
        "Valkey has another password",
        f"{_VALKEY} valkey ACL SETUSER default resetpass '>something-else'",
        "systemctl restart valkey-server",
        "valkey",
        "Valkey does not answer.*password",
    ),
    Fault(
        "Valkey full",
        f"{_VALKEY} valkey CONFIG SET maxmemory 700kb",
        "systemctl restart valkey-server",
        "valkey",
        "Valkey is full",
    ),
    Fault(
        "Valkey writes no log",
        f"{_VALKEY} valkey CONFIG SET appendonly no",
        f"{_VALKEY} valkey CONFIG SET appendonly yes",
        "valkey",
        "Valkey writes no log",
    ),
    Fault(
        "Valkey cannot write its log anew",
        f"{_VALKEY} chmod u-w /var/lib/valkey; valkey BGREWRITEAOF; sleep 1",
        f"{_VALKEY} chmod u+w /var/lib/valkey; valkey BGREWRITEAOF; sleep 1",
        "valkey",
        "Valkey cannot write its log anew",
    ),
    Fault(
        "Valkey evicts",
        f"{_VALKEY} valkey CONFIG SET maxmemory-policy allkeys-lru",
        f"{_VALKEY} valkey CONFIG SET maxmemory-policy noeviction",
        "valkey",
        "forgets when it is full",
    ),
    Fault(
        "Valkey became a replica",
        f"{_VALKEY} valkey REPLICAOF 127.0.0.1 7777",
        "appliance valkey REPLICAOF NO ONE",
        "valkey",
        "Valkey is a replica",
    ),
    Fault(
        "control service stopped",
        "systemctl stop appliance-control.socket appliance-control.service",
        "systemctl start appliance-control.socket appliance-control.service",
        "units",
        "appliance-control.s.* does not run",
    ),
    Fault(
        "control service frozen",
        f"{_MAIN} kill -STOP $(main appliance-control)",
        "systemctl restart appliance-control",
        "control",
        "the control service does not answer",
    ),
    Fault(
        "control service killed",
        f"{_MAIN} kill -KILL $(main appliance-control); sleep 2",
        "systemctl reset-failed appliance-control",
        "units",
        "appliance-control.service had to be started again",
    ),
    changed_file(
        "reader's secret differs",
        f"{_CREDENTIALS}/rtmp-reader-secret",
        f"chmod u+w {_CREDENTIALS}/rtmp-reader-secret; head -c 24 /dev/urandom | base64 | tr -d '+/=\\n' "
        f">{_CREDENTIALS}/rtmp-reader-secret",
        "ingest",
        "callback chain is broken",
    ),
    Fault(
        "ingest frozen",
        f"{_WORKER} kill -STOP $(worker appliance-ingest)",
        "systemctl restart appliance-ingest",
        "ingest",
        "ingest does not speak RTMP|ingest's statistics do not answer",
    ),
    Fault(
        "delivery stopped",
        "systemctl stop appliance-delivery",
        "systemctl start appliance-delivery",
        "units",
        "appliance-delivery.service does not run",
    ),
    Fault(
        "delivery ends again and again",
        f"mkdir -p {_DROP_IN}; "
        f"printf '[Service]\\nExecStart=\\nExecStart=/usr/bin/false\\n' >{_DROP_IN}/broken.conf; "
        "systemctl daemon-reload; systemctl restart --no-block appliance-delivery; sleep 1",
        _GIVE_DELIVERY,
        "units",
        "appliance-delivery.service (has failed|does not run)",
    ),
    Fault(
        "delivery not enabled",
        "systemctl disable -q appliance-delivery",
        "systemctl enable -q appliance-delivery",
        "units",
        "appliance-delivery.service is not enabled",
    ),
    Fault(
        "unit changed and not read",
        "cp -a /etc/systemd/system/appliance-delivery.service /root/kept; "
        "echo '# changed' >>/etc/systemd/system/appliance-delivery.service",
        "mv /root/kept /etc/systemd/system/appliance-delivery.service; systemctl daemon-reload",
        "units",
        "appliance-delivery.service has changed",
    ),
    Fault(
        "timer stopped",
        "systemctl stop appliance-rotate-master-key.timer",
        "systemctl start appliance-rotate-master-key.timer",
        "timers",
        "appliance-rotate-master-key.timer is stopped",
    ),
    Fault(
        "configuration not read",
        "cp -a /etc/nginx/ingest.conf /root/kept; touch /etc/nginx/ingest.conf",
        "mv /root/kept /etc/nginx/ingest.conf",
        "replaced",
        "appliance-ingest.service has not read its configuration",
    ),
    changed_file(
        "backend unreachable",
        "/etc/appliance/appliance.yml",
        "sed -i '/^http_callback_url/d' /etc/appliance/appliance.yml; "
        "echo 'http_callback_url: http://127.0.0.1:9/hooks' >>/etc/appliance/appliance.yml; "
        "systemctl restart appliance-control",
        "backend",
        "the backend cannot be reached.*Connect",
        after=f"systemctl restart appliance-control; {_VALKEY} "
        "valkey DEL appliance:events appliance:events:dead",
    ),
    Fault(
        "dead letter",
        f"{_VALKEY} valkey XADD appliance:events:dead '*' id evt_x type test stream x body {{}} reason 500",
        f"{_VALKEY} valkey DEL appliance:events:dead",
        "events",
        "1 dead letter",
    ),
    # its streams
    Fault(
        "stream's unit masked",
        f"systemctl mask --runtime --now {UNIT}",
        f"systemctl unmask --runtime {UNIT}; systemctl start {UNIT}",
        "units|streams",
        f"{UNIT} is masked",
    ),
    Fault(
        "stream's process frozen",
        f"{_MAIN} kill -STOP $(main {UNIT})",
        f"{_MAIN} kill -CONT $(main {UNIT}); systemctl reset-failed {UNIT}",
        "streams",
        f"the process of stream {STREAM} hangs",
    ),
    changed_file(
        "another master key than the streams'",
        f"{_CREDENTIALS}/content-keyring",
        f"chmod u+w {_CREDENTIALS}/content-keyring; "
        f'sed -i -E \'s/("master": ")[0-9a-f]{{8}}/\\100000000/g\' {_CREDENTIALS}/content-keyring',
        "watching",
        f"{STREAM} cannot be decrypted.*another key",
    ),
    Fault(
        "a stream's folder closed to delivery",
        f"chmod 0700 /srv/hls/{STREAM}",
        f"chmod 0750 /srv/hls/{STREAM}",
        "watching",
        f"{STREAM} cannot be watched.*status (403|404)",
        60,
    ),
]
