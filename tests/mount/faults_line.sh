# limit: 240
# The line to the server drops, resets, cuts short, delays, damages, swallows answers: one after the other, then all of
# it at once, then nothing goes through at all. Nobody in the mount notices but by waiting.
. "$HERE/lib.sh"
. "$HERE/faults_lib.sh"
need_rgw
start_proxy

mkfs
mount_fs "$FAULT_OPTIONS"
start_reader
start_witness steady
cp -r "$HERE/../../src" "$WORK/tree" || fail "no tree"

# load NAME: writes through the line, and reads it back past all caches but ours.
load() {
	cp -a "$WORK/tree" "$MNT/$1" || fail "$1: copying"
	head -c 3M /dev/urandom >"$WORK/stream"
	cp "$WORK/stream" "$MNT/$1/stream" || fail "$1: writing"
	sync "$MNT/$1" || fail "$1: sync"
	rm -f "$MNT/$1/stream"
}

for kind in "drop 30 any" "reset 30 any" "truncate 40 any" "delay 50 any 200" "lose 30 any" "corrupt 30 get" "mute 10 any"; do
	name=${kind%% *}
	fault "$kind"
	load "$name"
	await_writes
	[ "$name" = truncate ] || [ "$name" = corrupt ] || [ "$(hits "$name")" -ge 1 ] || fail "$name: nothing was hit"
	fault heal
	same_tree "$WORK/tree" "$MNT/$name"
done

fault cut
await_reads
sleep 6
await_reads
fault heal
await_writes

# All of it at once, cold: bytes come right, or an error comes.
stop_witness
check_witness
stop_reader
umount_fs
rm -rf "$CACHE"
for kind in "drop 5 any" "reset 5 any" "truncate 10 any" "lose 5 any" "corrupt 20 get"; do fault "$kind"; done
retries=${FAULT_OPTIONS/retry=4/retry=20}
mount_fs "$retries"
same_tree "$WORK/tree" "$MNT/drop"
python3 "$HERE/witness.py" look "$MNT/reader" || fail "wrong bytes"
start_witness steady
load all
await_writes
for name in drop reset truncate lose corrupt; do
	[ "$(hits $name)" -ge 1 ] || fail "$name: nothing was hit"
done
stop_witness
check_witness
umount_fs
fault heal
fsck_fs --data
