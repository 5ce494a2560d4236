# limit: 200
# The daemon is killed, or stands still while another takes over: who had files open is told, nothing was acknowledged
# that is not there, and no old handle leads to something new.
. "$HERE/lib.sh"
. "$HERE/faults_lib.sh"

# handles.py keeps descriptors, says "ready", waits for a line, and uses them.
cat >"$WORK/handles.py" <<'PY'
import errno, mmap, os, sys
top, wanted = sys.argv[1], getattr(errno, sys.argv[2])
file = os.open(top + "/open", os.O_CREAT | os.O_RDWR)
second = os.open(top + "/open", os.O_WRONLY)
os.write(file, b"not synced")
reading = os.open(top + "/synced", os.O_RDONLY)
folder = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
print("ready", flush=True)
sys.stdin.readline()
def expect(what, *errors):
    try:
        what()
    except OSError as e:
        if e.errno in errors:
            return
        sys.exit(f"errno {e.errno}, not {errors}")
    sys.exit("went well")
if sys.argv[2] == "ENOTCONN":
    # Linux answers EIO or ECONNABORTED to a writer that was in the middle of it.
    for what in (lambda: os.pwrite(file, b"x", 0), lambda: os.fsync(file), lambda: os.pread(reading, 1, 1 << 20),
                 lambda: os.listdir(folder), lambda: os.stat(top + "/nothing"), lambda: os.fsync(folder)):
        expect(what, wanted, errno.ECONNABORTED)
else:
    # A write alone is no promise: that nobody has noticed the takeover yet is no lie.
    for what in (lambda: os.fsync(file), lambda: os.pwrite(file, b"x", 0), lambda: os.fsync(folder),
                 lambda: os.mkdir(top + "/zombie")):
        expect(what, wanted)
        expect(what, wanted)
    os.close(reading)
    os.close(file)  # fsync has told it
    expect(lambda: os.close(second), wanted)
PY
hold_handles() {
	coproc HOLDER { exec python3 "$WORK/handles.py" "$MNT" "$1"; }
	holder=$HOLDER_PID
	read -r word <&"${HOLDER[0]}" && [ "$word" = ready ] || fail "no handles"
	exec 7>&"${HOLDER[1]}"
}
use_handles() {
	echo go >&7
	wait $holder || fail "handles after $1: exit $?"
	exec 7>&-
}

mkfs
mount_fs "$FAULT_OPTIONS,commit=600"
echo before >"$MNT/synced"
sync "$MNT"

handle() { python3 "$HERE/handle.py" "$@"; }

# Killed. Handles as NFS keeps them are tried against the next mount.
hold_handles ENOTCONN
kept=$(handle take "$MNT/synced") || fail "no file handle"
start_witness
await_writes
# From here on nobody's fsync makes it durable.
kill -STOP $witness
sync "$MNT"
echo lost >"$MNT/lost"
mkdir "$MNT/lost folder"
lost=$(handle take "$MNT/lost") && lost_folder=$(handle take "$MNT/lost folder") || fail "no file handle"
pid=$(daemon_pid)
kill -9 "$pid"
until gone "$pid"; do sleep 0.05; done
kill -CONT $witness
use_handles "kill -9"
fusermount3 -uz "$MNT"
mount_fs "$FAULT_OPTIONS"
[ ! -e "$MNT/lost" ] || fail "it was durable: this test shows nothing"
for i in 1 2 3 4 5 6 7 8; do echo "new $i" >"$MNT/new$i"; done
for stale in "$lost" "$lost_folder"; do
	handle use "$MNT" "$stale" >"$WORK/found"
	[ $? = 3 ] || fail "a handle of what was lost leads to: $(cat "$WORK/found")"
done
[ "$(handle use "$MNT" "$kept")" = before ] || fail "a handle of what was stored leads elsewhere"
check_witness
umount_fs
fsck_fs

# Standing still beyond its lease, while "another machine" (a process namespace in which our pids mean nothing) takes over.
mount_fs "$FAULT_OPTIONS,commit=600"
start_reader
hold_handles EIO
start_witness
await_writes
pid=$(daemon_pid)
kill -STOP "$pid"
other=$WORK/other
mkdir "$other"
export PROGRAM URL other WORK
opts="$(store_opts | sed "s|cache_dir=[^,]*|cache_dir=$WORK/cache2|"),$FAULT_OPTIONS"
export opts
unshare --pid --fork bash -c '
	"$PROGRAM" mount "$URL" "$other" -o "$opts,lease_wait=60" </dev/null || exit 1
	touch "$WORK/taken"
	while [ ! -e "$WORK/finished" ]; do sleep 0.2; done
	"$PROGRAM" umount "$other"' 2>"$WORK/taker" &
taker=$!
until [ -e "$WORK/taken" ]; do
	kill -0 $taker 2>/dev/null || { kill -CONT "$pid"; fail "no takeover: $(cat "$WORK/taker")"; }
	sleep 0.1
done
cp "$other/open" "$WORK/open.before" || { kill -CONT "$pid"; fail "a file is missing"; }
# What the old one acknowledged, the new one has; and what comes now from the old one's programs is refused.
python3 "$HERE/witness.py" check "$other/witness" "$WORK/witnessed" >/dev/null || { kill -CONT "$pid"; fail "acknowledged, and not there"; }
kill -CONT "$pid"
wait $witness || fail "exit status $? of the witness"
use_handles "a takeover"
python3 "$HERE/witness.py" check "$other/witness" "$WORK/witnessed" >/dev/null || fail "acknowledged after the takeover"
[ ! -e "$other/zombie" ] && cmp -s "$other/open" "$WORK/open.before" || fail "the old mount wrote after the takeover"
await_reads
"$PROGRAM" status "$MNT" --json | grep -q '"fenced": true' || fail "status does not know"
"$PROGRAM" status "$MNT" | grep -q 'another mount has taken' || fail "status does not say why"
stop_reader
"$PROGRAM" umount "$MNT" 2>"$WORK/said" && fail "umount says that all is stored"
grep -q 'another mount has taken' "$WORK/said" || fail "umount does not say why: $(cat "$WORK/said")"
await_gone "$pid" || fail "the old daemon is still there"
! mountpoint -q "$MNT" || fail "still mounted"
touch "$WORK/finished"
wait $taker || fail "the new mount: $(cat "$WORK/taker")"
fsck_fs
