# PASSWORD_FILE is drawn when it is missing or empty; ACL_FILE gets its hash. Prints `changed` when it did
# (or, with CHECK=yes, would do) something, and never the password.
set -eu
umask 077

if [ ! -s "$PASSWORD_FILE" ]; then
  echo changed
  [ "$CHECK" = no ] || exit 0
  install -d -m 0700 "$(dirname "$PASSWORD_FILE")"
  head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$PASSWORD_FILE.new"
  chmod 0400 "$PASSWORD_FILE.new"
  mv "$PASSWORD_FILE.new" "$PASSWORD_FILE"
fi

# One that `appliance secrets rotate` has written has its time behind it.
hash=$(head -n 1 "$PASSWORD_FILE" | cut -d' ' -f1 | tr -d '\n' | sha256sum | cut -d' ' -f1)
acl="user default on sanitize-payload #$hash ~* &* +@all"
if [ "$(cat "$ACL_FILE" 2>/dev/null || true)" != "$acl" ]; then
  echo changed
  [ "$CHECK" = no ] || exit 0
  printf '%s\n' "$acl" > "$ACL_FILE.new"
  chgrp valkey "$ACL_FILE.new"
  chmod 0640 "$ACL_FILE.new"
  mv "$ACL_FILE.new" "$ACL_FILE"
fi
