# limit: 600
# Copies share what is stored, ranges are allocated, punched and moved: the same operations on a native file give the
# same bytes; a large copy stores nothing; space comes back when all that share it are gone.
. "$HERE/lib.sh"

cat >"$WORK/ranges.py" <<'PY'
# Random operations on two files of a folder, the same for the same seed: ranges.py FOLDER SEED
import ctypes, errno, os, random, sys
folder, rng = sys.argv[1], random.Random(int(sys.argv[2]))
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
LONG = 6 << 20
fds = [os.open(os.path.join(folder, n), os.O_CREAT | os.O_RDWR, 0o644) for n in "ab"]
def fallocate(fd, mode, at, n):
    if libc.fallocate(fd, mode, at, n) != 0:
        raise OSError(ctypes.get_errno(), "fallocate %#x" % mode)
def copy_all(src, at, dst, to, n): # a native filesystem may copy less at a time
    done = 0
    while done < n:
        k = os.copy_file_range(src, dst, n - done, at + done, to + done)
        if k == 0:
            break
        done += k
    return done
for step in range(300):
    fd, other = rng.choice(fds), rng.choice(fds)
    at, n, to = rng.randrange(LONG), rng.randrange(1, 1 << rng.randrange(1, 22)), rng.randrange(LONG)
    what = rng.choice("wwwcccccptzak")
    try:
        if what == "w":
            os.pwrite(fd, rng.randbytes(n), at)
            out = n
        elif what == "c":
            out = copy_all(other, at, fd, to, n)
        elif what == "p":
            out = fallocate(fd, PUNCH_HOLE | KEEP_SIZE, at, n)
        elif what == "z":
            out = fallocate(fd, ZERO_RANGE, at, n)
        elif what == "a":
            out = fallocate(fd, rng.choice((0, KEEP_SIZE)), at, n)
        elif what == "t":
            out = os.ftruncate(fd, at)
        else:
            out = os.fsync(fd)
    except OSError as e:
        out = errno.errorcode[e.errno]
    print(step, what, out, os.fstat(fd).st_size)
PY

mkfs
mount_fs
mkdir "$WORK/native" "$MNT/dir"
for seed in 1 2 3; do
	python3 "$WORK/ranges.py" "$WORK/native" $seed >"$WORK/native.log" || fail "native, seed $seed"
	python3 "$WORK/ranges.py" "$MNT/dir" $seed >"$WORK/mount.log" || fail "mount, seed $seed"
	cmp "$WORK/native.log" "$WORK/mount.log" || fail "seed $seed: $(diff "$WORK/native.log" "$WORK/mount.log" | head -4)"
	for f in a b; do cmp "$WORK/native/$f" "$MNT/dir/$f" || fail "seed $seed: $f differs"; done
	remount_cold
	for f in a b; do cmp "$WORK/native/$f" "$MNT/dir/$f" || fail "seed $seed: $f differs after a remount"; done
done

# What cannot be: as on ext4. (The kernel itself refuses collapse and insert on FUSE mounts.)
xfs_io -c "fpunch 0 0" "$MNT/dir/a" 2>&1 | grep -q "Invalid argument" || fail "punching nothing"
! fallocate --collapse-range -o 1 -l 4096 "$MNT/dir/a" 2>/dev/null || fail "collapsing at an odd offset"
printf abc >"$MNT/suid"
chmod 4777 "$MNT/suid"
python3 - "$MNT/dir/a" "$MNT/suid" <<'PY' || fail "copy as another user"
import os, sys
a, b = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_RDWR)
os.setresuid(1000, 1000, 1000)
assert os.copy_file_range(a, b, 100, 100, 0) == 100
PY
[ "$(stat -c %a "$MNT/suid")" = 777 ] || fail "set-user-ID survived a copy: $(stat -c %a "$MNT/suid")"
cmp -n 100 "$MNT/suid" "$WORK/native/a" 0 100 || fail "the other user's copy differs"

# A gigabyte is copied, and no byte of it stored again.
python3 - "$MNT/big" <<'PY'
import os, random, sys
noise = random.Random(7).randbytes(16 << 20)
with open(sys.argv[1], "wb", buffering=0) as f:
    for i in range(64):
        f.write(noise)
    os.fsync(f.fileno())
PY
sync "$MNT"
before=$(status_value requests.bytes_out)
start=$(date +%s%N)
xfs_io -f -c "copy_range $MNT/big" "$MNT/copy" || fail "copy_range"
took=$((($(date +%s%N) - start) / 1000000))
sync "$MNT"
sent=$(($(status_value requests.bytes_out) - before))
echo "FIGURE $STORE: 1 GiB copied in $took ms, $sent bytes sent"
[ "$sent" -lt 20000000 ] || fail "a copy of 1 GiB sent $sent bytes"
cmp "$MNT/big" "$MNT/copy" || fail "the copy differs"
# Ten of them are one file of 10 GiB, and that is copied in no time as well.
for i in 0 1 2 3 4 5 6 7 8 9; do
	xfs_io -f -c "copy_range -d ${i}g $MNT/big" "$MNT/ten" || fail "copy_range to $i GiB"
done
before=$(status_value requests.bytes_out)
start=$(date +%s%N)
xfs_io -f -c "copy_range $MNT/ten" "$MNT/tens" || fail "copy_range of 10 GiB"
took=$((($(date +%s%N) - start) / 1000000))
sync "$MNT"
sent=$(($(status_value requests.bytes_out) - before))
echo "FIGURE $STORE: 10 GiB copied in $took ms, $sent bytes sent"
[ "$sent" -lt 20000000 ] || fail "a copy of 10 GiB sent $sent bytes"
[ "$(stat -c '%s %b' "$MNT/tens")" = "$(stat -c '%s %b' "$MNT/ten")" ] || fail "size of the copy: $(stat -c '%s %b' "$MNT/tens")"
[ "$(stat -c %s "$MNT/tens")" = 10737418240 ] || fail "size: $(stat -c %s "$MNT/tens")"
dd if="$MNT/tens" bs=1M skip=9216 status=none | cmp - "$MNT/big" || fail "the last gigabyte differs"
rm "$MNT/ten" "$MNT/tens"
cp "$MNT/big" "$MNT/copy2" || fail "cp"
rm "$MNT/big" "$MNT/copy"
remount_cold
[ "$(stat -c %s "$MNT/copy2")" = 1073741824 ] || fail "size of cp's copy"
head -c 64M "$MNT/copy2" | cmp - <(python3 -c 'import random,sys; n=random.Random(7).randbytes(16<<20); sys.stdout.buffer.write(n*4)') || fail "cp's copy differs"

# Copying, then losing the machine: a beginning of the copy, or all of it.
xfs_io -f -c "copy_range $MNT/copy2" -c fsync "$MNT/copy3" || fail "copy_range"
xfs_io -f -c "copy_range $MNT/copy2" "$MNT/copy4" || fail "copy_range"
kill_fs
rm -rf "$CACHE"
mount_fs
cmp "$MNT/copy2" "$MNT/copy3" || fail "an fsynced copy differs after a crash"
if [ -e "$MNT/copy4" ]; then
	cmp -n "$(stat -c %s "$MNT/copy4")" "$MNT/copy2" "$MNT/copy4" || fail "what is there of a copy differs after a crash"
fi
umount_fs
fsck_fs --data
