# What status, stats and trace tell of a mount: lag, cache, price, operations, requests.
. "$(dirname "$0")/lib.sh"

# json FILE EXPRESSION: true of all its lines together, as `r`
json() {
	python3 -c '
import json, sys
r = [json.loads(line) for line in open(sys.argv[1])]
sys.exit(0 if eval(sys.argv[2]) else 1)' "$1" "$2" || fail "$2: $(tail -3 "$1" | cut -c1-600)"
}

# refused WORDS COMMAND...: exit status 1, and its message has the words
refused() {
	local words=$1
	shift
	timeout 60 "$@" >"$WORK/out" 2>&1
	[ $? = 1 ] && grep -q -- "$words" "$WORK/out" || fail "no \"$words\" from $*: $(cat "$WORK/out")"
}

mkfs
mount_fs commit=3600

# ---- lag: from the write on, until the sync
[ "$(status_value lag_ms)" = 0 ] || fail "lag of an idle mount"
[ "$(status_value holder)" = "$(hostname), pid $(daemon_pid)" ] || fail "the holder is $(status_value holder)"
"$PROGRAM" status "$MNT" | grep -qx "  holder  *$(hostname), pid $(daemon_pid)" || fail "status does not tell the holder"
# without a folder: all that are mounted here (others may come and go meanwhile)
"$PROGRAM" status 2>/dev/null | grep -qx "$URL on $MNT" || fail "status without a folder leaves this mount out"
"$PROGRAM" status --json 2>/dev/null | python3 -c '
import json, sys
sys.exit(sys.argv[1] not in [m["mountpoint"] for m in json.load(sys.stdin)])' "$MNT" || fail "status --json without a folder"
echo some >"$MNT/file"
sleep 1
[ "$(status_value lag_ms)" -ge 1000 ] || fail "a second old, and the lag is $(status_value lag_ms) ms"
"$PROGRAM" status "$MNT" | grep -q 'not stored yet.*the oldest change is [0-9.]* s old' || fail "status does not tell the lag"
sync "$MNT/file"
[ "$(status_value lag_ms)" = 0 ] || fail "lag after fsync: $(status_value lag_ms) ms"
[ "$(status_value commits.count)" -ge 1 ] || fail "no commit was counted"
mkdir "$MNT/folder"
sleep 0.1
[ "$(status_value lag_ms)" -ge 100 ] || fail "a new folder is no change"
sync "$MNT"
[ "$(status_value lag_ms)" = 0 ] || fail "lag after syncing all"

# ---- cache
written=$(status_value files.bytes_written)
head -c 3000000 /dev/urandom >"$MNT/big" || fail "write"
[ $(($(status_value files.bytes_written) - written)) = 3000000 ] || fail "3,000,000 bytes written are counted otherwise"
umount_fs
rm -rf "$CACHE"
mount_fs commit=3600
cat "$MNT/big" >/dev/null || fail "read"
[ "$(status_value files.bytes_read)" = 3000000 ] || fail "3,000,000 bytes read are counted as $(status_value files.bytes_read)"
[ "$(status_value cache.misses)" -ge 1 ] || fail "a cold read without misses"
python3 - "$("$PROGRAM" status "$MNT" --json)" <<'PY' || fail "hit rate"
import json, sys
r = json.loads(sys.argv[1])
c = r["cache"]
hits = c["hits_memory"] + c["hits_disk"]
sys.exit(abs(r["estimates"]["cache_hit_rate"] - hits / (hits + c["misses"])) > 0.001)
PY

# ---- price: of what is paid for, at the prices given
if [ "$STORE" = s3 ]; then
	python3 - "$("$PROGRAM" status "$MNT" --json --prices 1000,100,1024)" <<'PY' || fail "the price"
import json, sys
r = json.loads(sys.argv[1])
q = r["requests"]
want = q["put"] + q["list"] + q["copy"] + q["multipart"] + 0.1 * (q["get"] + q["head"]) + q["bytes_in"] / 2**20
sys.exit(abs(r["estimates"]["price"] - want) > 0.001 * want)
PY
	"$PROGRAM" status "$MNT" | grep -q '^  price .*about [0-9.]* since' || fail "status tells no price"
else
	! "$PROGRAM" status "$MNT" | grep -q price || fail "a price of a folder"
fi
refused '--prices 5,x: two or three numbers' "$PROGRAM" status "$MNT" --prices 5,x

# ---- stats
"$PROGRAM" stats "$MNT" --count 3 --interval 500ms --json >"$WORK/stats" &
pid=$!
for n in $(seq 30); do
	echo $n >"$MNT/many$n" && sync "$MNT/many$n" || fail "write"
	kill -0 $pid 2>/dev/null || break
	sleep 0.05
done
wait $pid || fail "exit status $? of stats"
json "$WORK/stats" 'len(r) == 3 and all(0.3 < x["seconds"] < 60 for x in r)'
json "$WORK/stats" 'sum(x["operations_per_s"]["create"] for x in r) > 0'
json "$WORK/stats" 'sum(x["requests_per_s"]["put"] for x in r) > 0 and max(x["commit_ms"] or 0 for x in r) > 0'
"$PROGRAM" stats "$MNT" --count 21 --interval 100ms >"$WORK/stats" || fail "stats"
[ "$(grep -c 'requests/s' "$WORK/stats")" = 2 ] || fail "the header comes $(grep -c 'requests/s' "$WORK/stats") times in 21 lines"
"$PROGRAM" stats "$MNT" --interval 100ms >"$WORK/stats" &
pid=$!
await_lines "$WORK/stats" 4 $pid stats
kill -INT $pid
wait $pid || fail "exit status $? of interrupted stats"
tail -c1 "$WORK/stats" | od -An -c | grep -q '\\n' || fail "it left its last line unfinished"
refused 'did you mean "--interval"' "$PROGRAM" stats "$MNT" --intervall 3
refused 'no levels3fs is mounted' "$PROGRAM" stats "$WORK" --count 1

# ---- trace
"$PROGRAM" trace "$MNT" --ops --json >"$WORK/trace" &
pid=$!
"$PROGRAM" trace "$MNT" >"$WORK/text" &
text=$!
# From when on it listens is seen by what it writes.
until [ -s "$WORK/trace" ] && [ -s "$WORK/text" ]; do
	echo x >>"$MNT/again" && sync "$MNT/again" || fail "write"
	kill -0 $pid && kill -0 $text || fail "a trace ended"
	sleep 0.1
done
echo traced >"$MNT/traced" && sync "$MNT/traced" || fail "write"
mv "$MNT/traced" "$MNT/other"
cat "$MNT/none" 2>/dev/null
umount_fs
wait $pid || fail "exit status $? of trace when its mount is gone"
wait $text || fail "exit status $? of trace when its mount is gone"
json "$WORK/trace" 'any(x["kind"] == "operation" and x["op"] == "create" and x["name"] == "traced" and x["errno"] == 0 for x in r)'
json "$WORK/trace" 'any(x["op"] == "rename" and x["name"] == "traced -> other" for x in r if x["kind"] == "operation")'
json "$WORK/trace" 'any(x["op"] == "write" and x["bytes"] == 7 and x["offset"] == 0 for x in r if x["kind"] == "operation")'
json "$WORK/trace" 'any(x["op"] == "lookup" and x["errno"] == 2 and x["name"] == "none" for x in r if x["kind"] == "operation")'
json "$WORK/trace" 'any(x["op"] == "put" and x["key"].startswith("chain/") and x["bytes"] > 0 and x["ms"] >= 0 and x["result"] == "ok" and x["try"] == 1 for x in r if x["kind"] == "request")'
json "$WORK/trace" 'any(x["op"] == "put" and x["key"].startswith("checkpoint/") for x in r if x["kind"] == "request")' # while it closes, too
grep -Eq '^[0-9:.]+ put +[0-9.]+ [a-zKM]+ +[0-9.]+ ms +chain/0*[0-9]+  ok$' "$WORK/text" || fail "lines are $(head -3 "$WORK/text")"
! grep -q ' us ' "$WORK/text" || fail "operations without --ops"
[ "$STORE" != s3 ] || ! grep -qF "$AWS_SECRET_ACCESS_KEY" "$WORK/trace" "$WORK/text" || fail "the trace has the secret key"

# ---- a listener that does not read: the mount goes on, and it is told what it has missed
mount_fs commit=3600
"$PROGRAM" trace "$MNT" --ops >"$WORK/slow" &
pid=$!
until [ -s "$WORK/slow" ]; do
	stat "$MNT/other" >/dev/null
	ls "$MNT" >/dev/null
	kill -0 $pid || fail "trace ended"
	sleep 0.1
done
kill -STOP $pid
for n in $(seq 1 12000); do : <"$MNT/none-with-a-name-that-is-somewhat-long-and-fills-the-ring-sooner-than-a-short-one-would-do-it-$n"; done 2>/dev/null
"$PROGRAM" status "$MNT" >/dev/null || fail "no status beside a listener that is stopped"
kill -CONT $pid
for n in $(seq 100); do
	grep -q 'lines are missing here' "$WORK/slow" && break
	stat "$MNT/nothing$n" >/dev/null 2>&1
	sleep 0.1
done
grep -q 'lines are missing here' "$WORK/slow" || fail "nothing was lost, or it was not said: $(wc -l <"$WORK/slow") lines"
kill -INT $pid
wait $pid || fail "exit status $? of interrupted trace"
umount_fs

# ---- the log: how much, changed while it is mounted; where; and what it says of requests
"$PROGRAM" mount -f "$URL" "$MNT" -o "$(store_opts),log_level=warn" 2>"$WORK/log" &
pid=$!
until mountpoint -q "$MNT"; do kill -0 $pid || fail "mount -f: $(cat "$WORK/log")"; sleep 0.05; done
[ "$(timeout 60 "$PROGRAM" log "$MNT")" = "warn, to stderr" ] || fail "log says $("$PROGRAM" log "$MNT")"
[ ! -s "$WORK/log" ] || fail "it says more than warnings: $(cat "$WORK/log")"
[ "$(timeout 60 "$PROGRAM" log "$MNT" debug)" = "debug, to stderr" ] || fail "the level did not change"
[ "$(timeout 60 "$PROGRAM" log "$MNT")" = "debug, to stderr" ] || fail "the level did not stay"
refused 'loud is no level' "$PROGRAM" log "$MNT" loud
umount_fs
wait $pid || fail "exit status $? of mount -f"
grep -q "everything stored" "$WORK/log" || fail "nothing of level info was logged: $(cat "$WORK/log")"
refused 'it is error, warn, info or debug' "$PROGRAM" mount "$URL" "$MNT" -o "$(store_opts),log_level=loud"
refused 'it is stderr, syslog or journald' "$PROGRAM" mount "$URL" "$MNT" -o "$(store_opts),log=paper"
refused 'for the foreground' "$PROGRAM" mount "$URL" "$MNT" -o "$(store_opts),log=stderr"

# as journald gets it: fields, in a mount namespace with a journald of our own
cat >"$WORK/journal.sh" <<'SH'
. "$HERE/lib.sh"
forget_other_mounts
mkdir -p /run/systemd && mount -t tmpfs tmpfs /run/systemd && mkdir /run/systemd/journal || fail "no /run/systemd of its own"
python3 - >"$WORK/journal" <<'PY' &
import socket, struct
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("/run/systemd/journal/socket")
while True:
    data, entry = s.recv(65536), {}
    while data:
        name, data = data.split(b"\n", 1)
        size, = struct.unpack("<Q", data[:8])
        entry[name.decode()] = data[8:8 + size].decode()
        assert data[8 + size:9 + size] == b"\n"
        data = data[9 + size:]
    print(entry, flush=True)
PY
listener=$!
at_exit "kill $listener"
until [ -S /run/systemd/journal/socket ]; do kill -0 $listener || exit 1; sleep 0.05; done
mount_fs log=journald,log_level=debug
[ "$("$PROGRAM" log "$MNT")" = "debug, to journald" ] || fail "it logs $("$PROGRAM" log "$MNT")"
umount_fs
until grep -q "everything stored" "$WORK/journal"; do kill -0 $listener || fail "journal: $(cat "$WORK/journal")"; sleep 0.05; done
python3 - "$WORK/journal" "$URL" "$MNT" <<'PY' || fail "fields: $(cat "$WORK/journal")"
import ast, sys
entries = [ast.literal_eval(line) for line in open(sys.argv[1])]
ok = all(e["SYSLOG_IDENTIFIER"] == "levels3fs" and e["PRIORITY"] in "34567" and e["LEVELS3FS_URL"] == sys.argv[2] and
         e["LEVELS3FS_MOUNTPOINT"] == sys.argv[3] for e in entries)
sys.exit(not (entries and ok))
PY
SH
unshare -m bash "$WORK/journal.sh" || fail "journald"
[ -S /run/systemd/journal/socket ] || refused 'there is no journald' "$PROGRAM" mount "$URL" "$MNT" -o "$(store_opts),log=journald"
fsck_fs
