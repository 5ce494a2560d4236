# limit: 700
# A file of 5 GiB, every byte checked after a cold remount; a sparse one of 1 TiB; kill -9 while streaming.
. "$HERE/lib.sh"

cat >"$WORK/pattern.py" <<'PY'
# Blocks of 1 MiB that differ, half of each compressible: write FILE BLOCKS | check FILE BLOCKS (prints good ones)
import hashlib, os, random, sys
verb, path, blocks = sys.argv[1], sys.argv[2], int(sys.argv[3])
noise = random.Random(5).randbytes(1 << 20)
def block(i):
    tag = hashlib.sha256(b"%d" % i).digest()
    cut = (i * 4099) % (1 << 19)
    return tag + noise[cut:cut + (1 << 19) - 32] + tag * (1 << 14)
if verb == "write":
    with open(path, "wb", buffering=0) as f:
        for i in range(blocks):
            f.write(block(i))
        os.fsync(f.fileno())
else:
    good = 0
    with open(path, "rb", buffering=0) as f:
        for i in range(blocks):
            b = f.read(1 << 20)
            if b != block(i):
                if verb == "check":
                    sys.exit("block %d is wrong (%d bytes)" % (i, len(b)))
                if b != block(i)[:len(b)]:
                    sys.exit("block %d is no prefix of what was written" % i)
                break
            good += 1
    print(good)
PY

check_sparse() { # its four blocks, and nothing between them
	local at want
	[ "$(stat -c %s "$MNT/sparse")" = 1099511627776 ] || fail "size of the sparse file"
	for at in 0 1000 524288 1048575; do
		want="block at $at"
		[ "$(dd if="$MNT/sparse" bs=1M skip=$at count=1 status=none | head -c ${#want})" = "$want" ] || fail "sparse file at $at MiB"
	done
	[ "$(dd if="$MNT/sparse" bs=1M skip=999 count=1 status=none | tr -d '\0' | wc -c)" = 0 ] || fail "the hole is not zeros"
	[ "$(($(stat -c %b "$MNT/sparse") * 512))" -lt 10000000 ] || fail "the sparse file takes $(stat -c %b "$MNT/sparse") blocks"
}

mkfs
mount_fs
check "write 5 GiB" python3 "$WORK/pattern.py" write "$MNT/big" 5120
[ "$(stat -c %s "$MNT/big")" = 5368709120 ] || fail "size $(stat -c %s "$MNT/big")"
truncate -s 1T "$MNT/sparse"
for at in 0 1000 524288 1048575; do
	printf 'block at %d' $at | dd of="$MNT/sparse" bs=1M seek=$at conv=notrunc status=none || fail "write at $at MiB"
done
remount_cold
check "read 5 GiB" python3 "$WORK/pattern.py" check "$MNT/big" 5120
check_sparse
rm "$MNT/big"

start_witness
python3 "$WORK/pattern.py" write "$MNT/stream" 5120 2>/dev/null &
pid=$!
sleep 6
kill_fs
kill $pid 2>/dev/null
wait $pid 2>/dev/null
rm -rf "$CACHE"
mount_fs
check_witness
check_sparse
[ ! -e "$MNT/big" ] || [ "$(stat -c %s "$MNT/big")" = 5368709120 ] || fail "half a deleted file"
good=$(python3 "$WORK/pattern.py" prefix "$MNT/stream" 5120) || fail "the stream is no prefix of what was written"
echo "FIGURE $STORE: kill -9 after 6 s of streaming without fsync: a whole prefix of $good MiB was kept"
umount_fs
fsck_fs
