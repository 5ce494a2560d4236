# limit: 400
# 100,000 files in one directory: made, listed in a stable order while changing, found cold, removed; kill -9 after and in between.
. "$HERE/lib.sh"

mkfs
mount_fs
before=$(status_value requests.put)
python3 - "$MNT/dir" <<'PY' || fail "making"
import os, sys
os.mkdir(sys.argv[1])
for i in range(100000):
    fd = os.open("%s/file-%06d" % (sys.argv[1], i), os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o640)
    if i % 100 == 0:
        os.write(fd, b"%d" % i)
    os.close(fd)
fd = os.open(sys.argv[1], os.O_RDONLY)
os.fsync(fd)
PY
echo "FIGURE $STORE: 100,000 files in one directory + fsync: $(($(status_value requests.put) - before)) PUTs"
kill_fs
rm -rf "$CACHE"
mount_fs
python3 - "$MNT/dir" <<'PY' || fail "after the crash"
import os, sys
top = sys.argv[1]
names = os.listdir(top)
assert len(names) == len(set(names)) == 100000, len(names)
for i in range(0, 100000, 100):
    with open("%s/file-%06d" % (top, i)) as f:
        assert f.read() in (str(i), ""), i  # written after the fsync's start or before: both whole
# A listing that is under way sees everything that was there all the time, once.
seen = []
with os.scandir(top) as it:
    for n, e in enumerate(it):
        seen.append(e.name)
        if n % 1000 == 0:
            open("%s/new-%d" % (top, n), "w").close()
        if e.name.startswith("file-") and int(e.name[5:]) % 50 == 25:
            os.unlink("%s/%s" % (top, e.name))
old = [n for n in seen if n.startswith("file-")]
assert len(old) == len(set(old)) == 100000, (len(old), len(set(old)))
PY
remount_cold
[ "$(ls -f "$MNT/dir" | grep -c '^file-')" = 98000 ] || fail "after removing 2,000: $(ls -f "$MNT/dir" | grep -c '^file-')"
[ "$(stat -c %s "$MNT/dir/file-000100" 2>/dev/null || echo 3)" = 3 ] || fail "size of a file"

# In the middle of making more: what there is is the first so many, up to the last fsync of the folder at least.
start_witness
python3 - "$MNT/again" "$WORK/synced" 2>/dev/null <<'PY' &
import os, sys
top, log = sys.argv[1:]
os.mkdir(top)
folder = os.open(top, os.O_RDONLY)
for i in range(100000):
    os.close(os.open("%s/%d" % (top, i), os.O_CREAT | os.O_WRONLY | os.O_EXCL))
    if i % 1000 == 999:
        os.fsync(folder)
        with open(log, "w") as f:
            f.write(str(i + 1))
PY
pid=$!
until [ -s "$WORK/synced" ]; do
	kill -0 $pid 2>/dev/null || fail "making files again failed"
	sleep 0.1
done
sleep 2
kill_fs
wait $pid && fail "all were made before the kill"
rm -rf "$CACHE"
mount_fs
check_witness
there=$(find "$MNT/again" -type f | wc -l)
[ "$there" -ge "$(cat "$WORK/synced")" ] || fail "$(cat "$WORK/synced") files were synced, $there are there"
[ "$(find "$MNT/again" -type f -printf '%f\n' | sort -n | tail -1)" = $((there - 1)) ] || fail "a later file is there, an earlier one is not"
[ "$(find "$MNT/dir" -type f -name 'file-*' | wc -l)" = 98000 ] || fail "the folder beside has changed"
check "remove all" rm -rf "$MNT/dir" "$MNT/again"
[ -z "$(ls -A "$MNT")" ] || fail "not empty"
umount_fs
fsck_fs
