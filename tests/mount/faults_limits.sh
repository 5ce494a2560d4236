# limit: 240
# alone
# Too few file descriptors; little memory, with a bound that kills whoever goes beyond it, while the server stands still.
. "$HERE/lib.sh"
. "$HERE/faults_lib.sh"
have_rgw() { [ "$STORE" = s3 ] && [ -n "${LEVELS3_TEST_RGW_DIR:-}" ]; }

mkfs
mount_fs "$FAULT_OPTIONS"
start_reader
start_witness steady
pid=$(daemon_pid)

# Hardly more descriptors than it has just now: what needs one waits until there are some again, and what the cache has
# can be read. The limit is the lowest number that may not be used, and those in use stay usable.
few=$(($(ls "/proc/$pid/fd" | sort -n | tail -1) + 1))
prlimit --pid "$pid" --nofile="$few:$(ulimit -Hn)" || fail "prlimit"
head -c 20M /dev/urandom >"$WORK/data"
{ cp "$WORK/data" "$MNT/data" && sync "$MNT/data"; } 2>"$WORK/copy" &
copying=$!
await_reads
sleep 2
await_reads
prlimit --pid "$pid" --nofile="$(ulimit -Hn):$(ulimit -Hn)" || fail "prlimit"
wait $copying || fail "writing with few descriptors: $(cat "$WORK/copy")"
await_reads
await_writes
echo 3 >/proc/sys/vm/drop_caches
cmp "$WORK/data" "$MNT/data" || fail "other bytes"
"$PROGRAM" status "$MNT" >/dev/null || fail "no status"
stop_witness
check_witness
stop_reader
umount_fs

# mem_limit=64M, in a memory cgroup that kills what goes beyond; the kernel's own (sockets, pages of the cache folder on
# their way to the disk) counts there. The aim for the process itself is a tenth above mem_limit; on a busy machine it has
# been an eighth.
limit=$((96 << 20))
[ -z "${LEVELS3_TEST_UNDER:-}" ] || limit=$((15 * limit)) # the sanitizer's own comes on top
make_cgroup() {
	local v1=/sys/fs/cgroup/memory v2=/sys/fs/cgroup
	if [ -e $v1/memory.limit_in_bytes ]; then
		group=$v1/levels3fs-test.$$
		mkdir "$group" && echo $limit >"$group/memory.limit_in_bytes"
	elif grep -qw memory $v2/cgroup.controllers 2>/dev/null; then
		group=$v2/levels3fs-test.$$
		grep -qw memory $v2/cgroup.subtree_control || echo +memory >$v2/cgroup.subtree_control
		mkdir "$group" && echo $limit >"$group/memory.max" && echo 0 >"$group/memory.swap.max"
	else
		false
	fi
}
if make_cgroup 2>"$WORK/why"; then
	at_exit "'$PROGRAM' umount --force '$MNT' 2>/dev/null; rmdir '$group'"
else
	echo "no memory cgroup here ($(cat "$WORK/why")): only the size of the process is looked at"
	group=
fi
bash -c '[ -z "$1" ] || echo $$ >"$1/cgroup.procs"; shift; exec "$@"' - "$group" \
	"$PROGRAM" mount "$URL" "$MNT" -o "$(store_opts),$FAULT_OPTIONS" || fail "mounting in $limit bytes"
pid=$(daemon_pid)
start_reader_again
start_witness steady
if have_rgw; then
	at_exit '"$HERE/../rgw" resume-gateway "$LEVELS3_TEST_RGW_DIR" 2>/dev/null'
	rgw pause-gateway
fi
writers=
for i in 1 2 3 4 5 6; do
	dd if=/dev/urandom of="$MNT/big$i" bs=1M count=40 2>/dev/null &
	writers="$writers $!"
done
for i in $(seq 2000); do echo "$i" >"$MNT/small$i" || exit 1; done &
writers="$writers $!"
await_reads
if have_rgw; then
	# More who wait with a full request than the daemon has threads for requests, and than fit beside its memory.
	mkdir "$MNT/crowd"
	python3 - "$MNT/crowd" <<'PY' &
import os, sys, threading
def write(n):
    fd = os.open("%s/%d" % (sys.argv[1], n), os.O_CREAT | os.O_WRONLY)
    for i in range(4):
        if os.write(fd, bytes([n % 251]) * 131072) != 131072:
            os._exit(1)
    os.close(fd)
crowd = [threading.Thread(target=write, args=(n,)) for n in range(300)]
for t in crowd: t.start()
for t in crowd: t.join()
PY
	writers="$writers $!"
	sleep 6
	await_reads
	echo 3 >/proc/sys/vm/drop_caches
	for i in 1 2 3; do
		timeout 60 stat "$MNT" "$MNT/crowd" "$MNT/reader" >/dev/null || fail "nobody is left to answer a stat"
		timeout 60 ls "$MNT/crowd/nothing-$i" 2>/dev/null
		[ $? = 2 ] || fail "nobody is left to look a name up"
		timeout 60 ls -l "$MNT/reader" >/dev/null || fail "nobody is left to list a folder"
	done
	ls "$MNT/crowd" | awk 'END { exit NR != 300 }' || fail "not all of the crowd have begun"
	rgw resume-gateway
fi
for w in $writers; do wait "$w" || fail "a writer met an error"; done
await_writes
have_rgw && { python3 - "$MNT/crowd" <<'PY' || fail "the crowd's files"; }
import sys
for n in range(300):
    if open("%s/%d" % (sys.argv[1], n), "rb").read() != bytes([n % 251]) * 524288:
        sys.exit("file %d has other bytes" % n)
PY
echo 3 >/proc/sys/vm/drop_caches
readers=
for i in 1 2 3 4 5 6; do
	cat "$MNT/big$i" >/dev/null &
	readers="$readers $!"
done
cat "$MNT"/small* >/dev/null || fail "reading"
for r in $readers; do wait "$r" || fail "reading"; done
writers=
for i in $(seq 32); do # each has a request at the daemon all the time
	dd if="$WORK/data" of="$MNT/wide$i" bs=1M count=4 2>/dev/null &
	writers="$writers $!"
done
for w in $writers; do wait "$w" || fail "one of many writers met an error"; done
[ "$(daemon_pid)" = "$pid" ] || fail "the daemon was killed"
most=$(awk '/^VmHWM:/ { print $2 * 1024 }' "/proc/$pid/status")
echo "FIGURE most memory with mem_limit=64M: $((most >> 20)) MiB"
[ "$most" -le $limit ] || fail "it took $most bytes, and may take $limit"
stop_witness
check_witness
stop_reader
umount_fs
fsck_fs
