# limit: 200
# Requests are counted, not guessed: one small write + fsync is one PUT; mounting takes few; an idle mount only renews.
. "$HERE/lib.sh"

counts() { "$PROGRAM" status "$MNT" --json | python3 -c 'import json,sys; r=json.load(sys.stdin)["requests"]; print(" ".join("%s=%s" % kv for kv in sorted(r.items()) if kv[1] and not kv[0].startswith("bytes")))'; }

mkfs
mount_fs commit=3600
echo "FIGURE $STORE: mounting an empty filesystem: $(counts)"
python3 - "$MNT/db" <<'PY'
import os, sys
fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
os.write(fd, bytes(4096))
os.fsync(fd)
PY
sleep 1
before=$(status_value requests.put)
python3 - "$MNT/db" <<'PY'
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
for i in range(20):
    os.pwrite(fd, os.urandom(4096), i * 8192)
    os.fsync(fd)
PY
puts=$(($(status_value requests.put) - before))
echo "FIGURE $STORE: 20 x (4 KiB write + fsync): $puts PUTs"
# A lease renewal may fall into it.
[ "$puts" -ge 20 ] && [ "$puts" -le 21 ] || fail "$puts PUTs for 20 fsyncs"
before=$(status_value requests.put)
sync "$MNT"
sync "$MNT"
[ $(($(status_value requests.put) - before)) -le 1 ] || fail "a sync with nothing to store wrote something"
before=$(counts | tr ' ' '\n' | grep -v '^put=' | tr '\n' ' ')
put_before=$(status_value requests.put)
sleep 25
[ "$(counts | tr ' ' '\n' | grep -v '^put=' | tr '\n' ' ')" = "$before" ] || fail "an idle mount does more than renew: $before then $(counts)"
[ $(($(status_value requests.put) - put_before)) -le 3 ] || fail "an idle mount wrote $(($(status_value requests.put) - put_before)) objects in 25 s"
umount_fs
fsck_fs
