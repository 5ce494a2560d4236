# limit: 120
# The cache's disk is full, its files are damaged, it is removed: nobody notices, no wrong byte is read.
. "$HERE/lib.sh"
. "$HERE/faults_lib.sh"

mkfs
head -c 24M /dev/urandom >"$WORK/data"

# A disk of 8 MiB for a cache of 10 GiB; others fill it up on top.
mkdir "$CACHE"
mount -t tmpfs -o size=8M,mode=700 tmpfs "$CACHE" || fail "no small disk"
at_exit "umount -l '$CACHE' 2>/dev/null"
mount_fs "$FAULT_OPTIONS"
start_reader
start_witness steady
cp "$WORK/data" "$MNT/data" || fail "writing"
sync "$MNT/data"
head -c 100M /dev/zero >"$CACHE/others" 2>/dev/null
await_reads
await_writes
echo 3 >/proc/sys/vm/drop_caches
cmp "$WORK/data" "$MNT/data" || fail "other bytes with a full cache"
stop_witness
check_witness
stop_reader
umount_fs
umount "$CACHE" || fail "the cache's disk is still in use"

# Bits flipped in all of its files, data and lists, while mounted and while not.
damage() {
	python3 - "$CACHE" <<'PY' || fail "no cache files to damage"
import os, random, sys
count = 0
for folder, _, files in os.walk(sys.argv[1]):
    for name in files:
        path = os.path.join(folder, name)
        size = os.path.getsize(path)
        if size == 0:
            continue
        with open(path, "r+b") as f:
            for _ in range(1 + size // 20000):
                at = random.randrange(size)
                f.seek(at)
                byte = f.read(1)[0]
                f.seek(at)
                f.write(bytes([byte ^ 1 << random.randrange(8)]))
        count += 1
sys.exit(0 if count else 1)
PY
}
mount_fs "$FAULT_OPTIONS"
start_reader_again
start_witness steady
cmp "$WORK/data" "$MNT/data" || fail "other bytes"
damage
echo 3 >/proc/sys/vm/drop_caches
cmp "$WORK/data" "$MNT/data" || fail "other bytes from a damaged cache"
await_reads
await_writes
stop_witness
check_witness
stop_reader
umount_fs
damage
mount_fs "$FAULT_OPTIONS"
start_reader_again
cmp "$WORK/data" "$MNT/data" || fail "other bytes from a cache damaged between mounts"

# Removed while mounted.
start_witness steady
rm -rf "$CACHE"
await_reads
await_writes
echo 3 >/proc/sys/vm/drop_caches
cmp "$WORK/data" "$MNT/data" || fail "other bytes without the cache"
stop_witness
check_witness
stop_reader
umount_fs
fsck_fs --data
