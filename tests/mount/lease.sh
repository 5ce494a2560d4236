# limit: 200
# One mount writes: a second one is refused at once and told who; takeover after a crash, at once here, later elsewhere.
. "$HERE/lib.sh"

mkfs
mount_fs
pid=$(daemon_pid)
other=$WORK/other
mkdir -p "$other"
start=$SECONDS
"$PROGRAM" mount "$URL" "$other" -o "$(store_opts)" 2>"$WORK/err" && fail "mounted twice"
[ $((SECONDS - start)) -lt 8 ] || fail "the refusal took $((SECONDS - start)) s"
for word in "$(hostname)" "$pid" "$MNT" "$(date +%Y-%m-%d)"; do
	grep -qF "$word" "$WORK/err" || fail "the refusal does not name $word: $(cat "$WORK/err")"
done
echo still >"$MNT/alive" || fail "the first mount suffered"

# The same machine, after kill -9: at once.
echo kept >"$MNT/kept"
sync "$MNT"
kill_fs
start=$SECONDS
mount_fs
[ $((SECONDS - start)) -lt 8 ] || fail "remount after kill -9 took $((SECONDS - start)) s"
[ "$(cat "$MNT/kept")" = kept ] || fail "lost a synced file"

# Released: the next one need not wait.
umount_fs
mount_fs lease=4,renew=1

# "Another machine": another process namespace, in which our pids mean nothing. The holder is stopped, its
# lease runs out, the other takes over; the holder wakes up and may not write any more.
echo before >"$MNT/before"
sync "$MNT"
pid=$(daemon_pid)
kill -STOP "$pid"
export PROGRAM URL other
opts=$(store_opts | sed "s|cache_dir=[^,]*|cache_dir=$WORK/cache2|")
unshare --pid --fork --mount-proc "$PROGRAM" mount "$URL" "$other" -o "$opts" 2>"$WORK/err" </dev/null &&
	{ kill -CONT "$pid"; fail "took over a lease that had not run out"; }
grep -q "held by .*pid $pid" "$WORK/err" || { kill -CONT "$pid"; fail "refused for another reason: $(cat "$WORK/err")"; }
unshare --pid --fork bash -c '
	"$PROGRAM" mount "$URL" "$other" -o "'"$opts"',lease=4,renew=1,lease_wait=30" </dev/null || exit 1
	[ "$(cat "$other/before")" = before ] || exit 2
	echo new >"$other/taken" && sync "$other" || exit 3
	kill -CONT '"$pid"' 2>/dev/null
	touch "'"$WORK"'/taken"
	while [ ! -e "'"$WORK"'/finished" ]; do sleep 0.2; done
	"$PROGRAM" umount "$other"' 2>"$WORK/err2" &
taker=$!
for _ in $(seq 300); do
	[ -e "$WORK/taken" ] && break
	kill -0 $taker 2>/dev/null || fail "no takeover: $(cat "$WORK/err2")"
	sleep 0.2
done
[ -e "$WORK/taken" ] || { kill -CONT "$pid"; fail "no takeover within a minute: $(cat "$WORK/err2")"; }
kill -CONT "$pid"
# The zombie: not one acknowledged write.
python3 - "$MNT" <<'PY' || fail "the fenced mount acknowledged a write"
import os, sys
try:
    fd = os.open(sys.argv[1] + "/zombie", os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"x")
    os.fsync(fd)
except OSError as e:
    sys.exit(0)
sys.exit(1)
PY
timeout 60 "$PROGRAM" umount --force "$MNT" >/dev/null 2>&1
touch "$WORK/finished"
wait $taker || fail "the new holder: $(cat "$WORK/err2")"
fusermount3 -uz "$MNT" 2>/dev/null
mount_fs
[ "$(cat "$MNT/taken")" = new ] || fail "what the new holder stored is gone"
[ ! -e "$MNT/zombie" ] || fail "the zombie's file is there"
umount_fs
fsck_fs
