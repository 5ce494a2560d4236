# limit: 300
# alone
# Programs that wait for a store which does not answer can be killed, and nothing else ends their waiting.
[ "$STORE" = s3 ] || exit 0 # a folder always answers
. "$HERE/lib.sh"
resume() { "$HERE/../rgw" resume-gateway "$LEVELS3_TEST_RGW_DIR" 2>/dev/null; }
at_exit resume
pause() { "$HERE/../rgw" pause-gateway "$LEVELS3_TEST_RGW_DIR" || fail "the gateway cannot be paused"; }

state_of() { sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null; }

# await_wait PID: until it waits in the kernel.
await_wait() {
	for _ in $(seq 300); do
		[ "$(state_of "$1")" = R ] || return 0
		sleep 0.1
	done
	fail "$2: does not wait"
}

# dies PID WHAT: a kill ends it although the store is silent.
dies() {
	await_wait "$1" "$2"
	kill -KILL "$1"
	for _ in $(seq 300); do
		case $(state_of "$1") in "" | Z) return 0 ;; esac
		sleep 0.1
	done
	fail "$2: still there 30 s after SIGKILL, in state $(state_of "$1")"
}

mkfs
mount_fs mem_limit=64M,cache_size=16M,timeout=120
head -c 40M /dev/urandom >"$MNT/cold"
umount_fs
rm -rf "$CACHE"
mount_fs mem_limit=64M,timeout=120

# A signal that a program handles does not end its fsync; the store's answer does, and it was no lie.
echo before >"$MNT/synced"
pause
python3 - "$MNT/synced" <<'PY' &
import os, signal, sys
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
fd = os.open(sys.argv[1], os.O_WRONLY)
os.write(fd, b"after!")
open(sys.argv[1] + ".ready", "w").close()
os.fsync(fd)
sys.exit(0 if seen else 3)
PY
signalled=$!
for _ in $(seq 600); do
	[ -e "$MNT/synced.ready" ] && break
	sleep 0.1
done
[ -e "$MNT/synced.ready" ] || fail "writing waits for the store"
sleep 1
kill -USR1 $signalled
sleep 1
kill -0 $signalled 2>/dev/null || fail "fsync returned without the store"
resume
wait $signalled || fail "fsync with a signal in it: exit $?"

# Killed in fsync, in reading, in waiting for memory.
pause
echo more >>"$MNT/synced"
sync "$MNT/synced" &
fsyncing=$!
disown $fsyncing
cat "$MNT/cold" >/dev/null &
reading=$!
disown $reading
dd if=/dev/zero of="$MNT/big" bs=1M count=400 2>/dev/null &
writing=$!
disown $writing
sleep 2
dies $fsyncing fsync
dies $reading read
dies $writing write
[ "$(ls "$MNT" | wc -l)" -ge 3 ] || fail "the mount hangs"
resume
[ "$(cat "$MNT/synced")" = "after!
more" ] || [ "$(head -c 6 "$MNT/synced")" = "after!" ] || fail "not what was written: $(cat "$MNT/synced")"
umount_fs
fsck_fs
