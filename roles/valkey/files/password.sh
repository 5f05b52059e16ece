# shellcheck shell=sh
# PASSWORD_FILE is drawn when it is missing or empty; ACL_FILE gets its hash. Prints `changed` when it did
# (or, with CHECK=yes, would do) something, and never the password.
set -eu
umask 077

# A rotation that is at work has the lock (appliance.secrets.credentials.locked).
if [ -d "$(dirname "$PASSWORD_FILE")" ]; then
  exec 9<"$(dirname "$PASSWORD_FILE")"
  flock 9
fi

if [ ! -s "$PASSWORD_FILE" ]; then
  echo changed
  [ "$CHECK" = no ] || exit 0
  install -d -m 0700 "$(dirname "$PASSWORD_FILE")"
  # With its time: one that stands in for a lost one is newer than what a rotation has left in Valkey, sealed.
  {
    head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'
    date -u +' created=%Y-%m-%dT%H:%M:%S.%3N+00:00'
  } > "$PASSWORD_FILE.new"
  chmod 0400 "$PASSWORD_FILE.new"
  mv "$PASSWORD_FILE.new" "$PASSWORD_FILE"
fi

# One that `appliance secrets rotate` has written has its time behind it.
hash=$(head -n 1 "$PASSWORD_FILE" | cut -d' ' -f1 | tr -d '\n' | sha256sum | cut -d' ' -f1)
rules() { echo "user default on sanitize-payload $1~* &* +@all"; }
found=$(cat "$ACL_FILE" 2>/dev/null || true)
# A rotation that was cut short leaves hashes beside it, of passwords that running programs hold: they stay.
if [ "$(printf '%s' "$found" | sed -E 's/#[0-9a-f]{64} //g')" = "$(rules '')" ]; then
  case $found in *" #$hash "*) exit 0 ;; esac
fi
echo changed
[ "$CHECK" = no ] || exit 0
rules "#$hash " > "$ACL_FILE.new"
chgrp valkey "$ACL_FILE.new"
chmod 0640 "$ACL_FILE.new"
mv "$ACL_FILE.new" "$ACL_FILE"
