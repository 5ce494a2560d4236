# The folder .levels3fs: found by name only, read-only, for the owner and root, consistent; its trace lets go.
. "$HERE/lib.sh"
. "$HERE/posix_lib.sh"
V=$MNT/.levels3fs

# stat of the daemon: how many object requests it has sent
metric() { cat "$V/metrics" >"$WORK/metrics" && python3 "$HERE/metrics.py" value "$WORK/metrics" "$1"; }

# fails_with WORDS COMMAND...
fails_with() {
	local words=$1
	shift
	! "$@" 2>"$WORK/err" || fail "it was possible: $*"
	grep -q -- "$words" "$WORK/err" || fail "no \"$words\" from $*: $(cat "$WORK/err")"
}

mkfs
mount_fs
echo some >"$MNT/file"
mkdir "$MNT/folder"

# ---- who walks the tree does not meet it
[ "$(cd "$MNT" && find . | sort | tr '\n' ' ')" = ". ./file ./folder " ] || fail "find meets it: $(find "$MNT")"
[ "$(ls -A "$MNT" | tr '\n' ' ')" = "file folder " ] || fail "ls meets it"
tar cf "$WORK/tar" -C "$MNT" . && ! tar tf "$WORK/tar" | grep -q levels3fs || fail "tar meets it"
[ "$(stat -c %h "$MNT")" = 3 ] || fail "the root counts it"

# ---- what it tells
cat "$V/status" >"$WORK/status" || fail "status"
grep -q "^$URL on $MNT\$" "$WORK/status" && grep -q '^  state  *mounted since' "$WORK/status" || fail "status is $(cat "$WORK/status")"
[ "$(sed 's/[0-9.]* s old//; s/[0-9]//g' "$WORK/status" | head -2)" = "$("$PROGRAM" status "$MNT" | sed 's/[0-9]//g' | head -2)" ] ||
	fail "not what levels3fs status says"
python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
sys.exit(not (r["state"] == "mounted" and r["requests"]["put"] >= 1 and "cache_hit_rate" in r["estimates"]))' "$V/status.json" || fail "status.json"
[ "$(grep -c '^[a-z_.]* [0-9]*$' "$V/stats")" = "$(wc -l <"$V/stats")" ] || fail "stats has other lines than NAME NUMBER"
grep -q '^requests.put [1-9]' "$V/stats" || fail "stats knows of no PUT"
cat "$V/metrics" >"$WORK/metrics" && python3 "$HERE/metrics.py" check "$WORK/metrics" || fail "metrics"
before=$(metric 'levels3fs_store_requests_total{request="put"}')
echo more >"$MNT/file" && sync "$MNT/file"
after=$(metric 'levels3fs_store_requests_total{request="put"}')
[ "$after" -gt "$before" ] || fail "an fsync, and as many PUTs as before: $before"
[ "$(metric 'levels3fs_store_request_duration_seconds_count{request="put"}')" -ge "$after" ] || fail "not every PUT was timed"
[ "$(metric levels3fs_unstored_bytes)" = 0 ] || fail "all is stored"
# one open is one state, however slowly it is read
exec 5<"$V/status.json"
for n in $(seq 20); do echo $n >"$MNT/n$n"; done
sync "$MNT"
while read -r -u 5 line; do echo "$line"; done | python3 -c 'import json,sys; json.load(sys.stdin)' || fail "a slow reader gets no whole status"
exec 5<&-
[ "$(stat -c '%s %a %F' "$V/status")" = "0 400 regular empty file" ] || fail "$(stat -c '%s %a %F' "$V/status")"
[ "$(ls -A "$V" | tr '\n' ' ')" = "metrics stats status status.json trace " ] || fail "it lists $(ls -A "$V")"
[ "$(stat -c %d "$V/status")" = "$(stat -c %d "$MNT")" ] || fail "another device"
[ "$(stat -f -c %s "$V/status")" = "$(stat -f -c %s "$MNT")" ] || fail "statfs"

# ---- nobody changes it
fails_with 'not permitted' rm -r "$V"
fails_with 'not permitted' mv "$V" "$MNT/elsewhere"
fails_with 'not permitted' mv -T "$MNT/folder" "$V"
fails_with 'not permitted' mv "$MNT/file" "$V/status"
fails_with 'not permitted' ln "$V/status" "$MNT/link"
fails_with 'not permitted' touch "$V/new"
fails_with 'not permitted' chmod 777 "$V"
fails_with 'not permitted' dd if=/dev/zero of="$V/status" count=1 conv=notrunc
fails_with 'exists' mkdir "$V"
fails_with 'not permitted' setfattr -n user.x -v y "$V/status"
[ -z "$(getfattr -d -m - "$V/status" 2>/dev/null)" ] || fail "it has attributes"
mkdir "$MNT/folder/.levels3fs" || fail "the name is taken elsewhere than in the root"

# ---- who may read it: whom the control socket answers
other="setpriv --reuid=54321 --regid=54321 --clear-groups"
[ "$($other cat "$MNT/file")" = more ] || fail "others cannot read the mount"
fails_with 'denied' $other cat "$V/status"
fails_with 'denied' $other cat "$V/metrics"
fails_with 'denied' $other ls "$V"

# ---- trace: lines as they happen, and it ends when its reader does
timeout 60 cat "$V/trace" >"$WORK/trace" &
pid=$!
until grep -Eq '^[0-9:.]+ put +[0-9.]+ [a-zKM]+ +[0-9.]+ ms +chain/0*[0-9]+  ok$' "$WORK/trace"; do
	echo traced >"$MNT/file" && sync "$MNT/file" || fail "write"
	kill -0 $pid || fail "it ended: $(cat "$WORK/trace")"
done
kill $pid
wait $pid
[ $? = 143 ] || fail "exit status $? of a reader that was killed"
exec 5<"$V/trace" # it waits for no request, and does not keep others from working
fails_with 'temporarily unavailable' dd if="$V/trace" iflag=nonblock count=1 status=none
for n in $(seq 150); do timeout 60 cat "$V/trace" >/dev/null 2>&1 & done # many more than listen at a time
timeout 60 cat "$V/status" >/dev/null || fail "readers of the trace occupy the workers"
kill $(jobs -p) 2>/dev/null # but those that have gone
wait
# a signal that is caught ends a read
timeout 60 python3 - "$V/trace" <<'PY' || fail "a signal does not interrupt a read"
import errno, os, signal, sys
class Alarm(Exception): pass
def on_alarm(*_): raise Alarm
signal.signal(signal.SIGALRM, on_alarm)
fd = None
while fd is None:
    try:
        fd = os.open(sys.argv[1], os.O_RDONLY)
    except OSError as e: # those that were killed make room within a second
        if e.errno != errno.EBUSY: raise
signal.setitimer(signal.ITIMER_REAL, 0.3, 0.3)
try:
    while os.read(fd, 65536): pass
except Alarm:
    sys.exit(0)
sys.exit(1)
PY
fails_with 'in use\|busy' "$PROGRAM" umount "$MNT"
exec 5<&-
until "$PROGRAM" umount "$MNT" 2>/dev/null; do :; done

# ---- the daemon ends while somebody reads
mount_fs
timeout 60 cat "$V/trace" >"$WORK/trace" 2>/dev/null &
pid=$!
until [ -s "$WORK/trace" ]; do echo x >"$MNT/file" && sync "$MNT/file" || fail "write"; done
daemon=$(daemon_pid)
kill "$daemon"
wait $pid
[ $? != 124 ] || fail "the reader of a trace outlives its mount"
await_gone "$daemon" || fail "a reader of the trace keeps the daemon"
fsck_fs

# ---- the same over HTTP
refused() { # WORDS OPTION
	! "$PROGRAM" mount "$URL" "$WORK/elsewhere" -o "$(store_opts),$2" 2>"$WORK/err" || fail "mounted with $2"
	grep -q -- "$1" "$WORK/err" || fail "no \"$1\" about $2: $(cat "$WORK/err")"
}
mkdir "$WORK/elsewhere"
for bad in x 70000 1.2.3:80 ::1:80 host:80 :80; do refused "metrics=$bad" "metrics=$bad"; done
mount_fs metrics=0
at=$(status_value metrics)
case $at in 127.0.0.1:[1-9]*) ;; *) fail "metrics are on $at" ;; esac
"$PROGRAM" status "$MNT" | grep -q "http://$at/metrics" || fail "status does not tell where metrics are"
refused 'cannot listen' "metrics=$at"
for n in 1 2 3 4 5; do exec {fd}<>"/dev/tcp/${at%:*}/${at#*:}" || fail "no connection"; done # who says nothing
curl -sSf -m 60 -D "$WORK/head" "http://$at/metrics?x=y" >"$WORK/metrics" || fail "GET /metrics"
grep -qi '^content-type: text/plain; version=0.0.4' "$WORK/head" || fail "headers: $(cat "$WORK/head")"
python3 "$HERE/metrics.py" check "$WORK/metrics" || fail "metrics over HTTP"
python3 "$HERE/metrics.py" dashboard "$WORK/metrics" "$HERE/../../contrib/grafana/levels3fs.json" || fail "the dashboard"
[ "$(curl -s -m 60 -o /dev/null -w '%{http_code}' "http://$at/")" = 404 ] || fail "there is more than /metrics"
[ "$(curl -s -m 60 -o /dev/null -w '%{http_code}' -d x "http://$at/metrics")" = 405 ] || fail "POST"
[ "$(curl -s -m 60 -I -o /dev/null -w '%{http_code}' "http://$at/metrics")" = 200 ] || fail "HEAD"
[ "$(curl -s -m 60 -o /dev/null -w '%{http_code}' -H "X: $(head -c 9000 /dev/zero | tr '\0' x)" "http://$at/metrics")" = 000 ] || fail "a request without end"
curl -sSf -m 60 "http://$at/metrics" >/dev/null || fail "it is gone"
umount_fs

# ---- a user's own, made by a version that did not reserve the name
"$(dirname "$PROGRAM")/tests/plant" "$URL" "$(store_opts)" .levels3fs || fail "plant"
mount_fs
[ "$(ls -A "$V")" = mine ] || fail "the user's own folder is out of reach: $(ls -A "$V")"
ls -A "$MNT" | grep -qx .levels3fs || fail "it is not listed"
mv "$V" "$MNT/was" || fail "it cannot be renamed"
[ -e "$MNT/was/mine" ] || fail "renamed, and its file is gone"
grep -q "^$URL" "$V/status" || fail "the folder is not back"
fails_with 'not permitted' mv -T "$MNT/was" "$V"
umount_fs
fsck_fs
