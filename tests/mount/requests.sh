# limit: 300
# Requests are counted, not guessed: one small write + fsync is one PUT; mounting takes few; an idle mount only renews; a cold
# random read is one GET of little more than what was asked for.
. "$HERE/lib.sh"

counts() { "$PROGRAM" status "$MNT" --json | python3 -c 'import json,sys; r=json.load(sys.stdin)["requests"]; print(" ".join("%s=%s" % kv for kv in sorted(r.items()) if kv[1] and not kv[0].startswith("bytes")))'; }

# What mounting cost, with all that comes of it until it is quiet. few WHAT [MORE]
few() {
	local all
	all=$("$PROGRAM" status "$MNT" --json | python3 -c 'import json,sys; print(sum(v for k, v in json.load(sys.stdin)["requests"].items() if not k.startswith("bytes")))')
	echo "FIGURE $STORE: $1: $all requests ($(counts))"
	[ "$all" -le $((15 + ${2:-0})) ] || fail "$1: $all requests ($(counts))"
}

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

# 200 pages of 256 MiB that do not compress, each read for the first time. The database may have to fetch blocks of its own tables,
# of which there is one, and a lease renewal may fall into it.
dd if=/dev/urandom of="$MNT/pages" bs=1M count=256 status=none || fail "writing 256 MiB"
sync "$MNT/pages"
remount_cold commit=3600
ls -l "$MNT" >/dev/null
sleep 1
few "mounting without a cache, and ls"
[ "$(stat -c %s "$MNT/pages")" = 268435456 ] || fail "the file is not there"
python3 - "$MNT/pages" <<'PY' || fail "reading one page"
import os, sys
os.pread(os.open(sys.argv[1], os.O_RDONLY), 4096, 123 << 12)
PY
gets=$(status_value requests.get)
bytes=$(status_value requests.bytes_in)
python3 - "$MNT/pages" <<'PY' || fail "reading 200 pages"
import os, random, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
random.seed(1)
for page in random.sample(range(65536), 200):
    if len(os.pread(fd, 4096, page << 12)) != 4096:
        sys.exit("short read of page %d" % page)
PY
gets=$(($(status_value requests.get) - gets))
bytes=$(($(status_value requests.bytes_in) - bytes))
echo "FIGURE $STORE: 200 cold random reads of 4 KiB: $gets GETs, $bytes bytes, $((bytes * 100 / 819200)) % of what was read"
[ "$gets" -ge 190 ] && [ "$gets" -le 206 ] || fail "$gets GETs for 200 reads"
[ "$bytes" -le $((3 * 819200)) ] || fail "$bytes bytes fetched for 200 reads of 4 KiB"

# After a crash: a GET for each commit since the last checkpoint, and each epoch's fence is one.
slots=$(status_value slot)
printf x >"$MNT/last"
sync "$MNT/last"
slots=$(($(status_value slot) - slots + 1))
kill_fs
rm -rf "$CACHE"
mount_fs commit=3600
ls -l "$MNT" >/dev/null
sleep 1
few "taking over from a mount that was killed after $slots commits, and ls" "$slots"
umount_fs
fsck_fs
