# doctor finds what keeps a filesystem from working, says what to do, and leaves nothing behind.
. "$(dirname "$0")/lib.sh"
export AWS_EC2_METADATA_DISABLED=true

# finds STATUS EXPRESSION ARGUMENTS...: "any" for STATUS; of the findings, as `c` ("check" -> its last one) and `r`
finds() {
	local want=$1 expression=$2 got
	shift 2
	timeout 100 "$PROGRAM" doctor "$@" --json >"$WORK/json"
	got=$?
	[ "$want" = any ] || [ $got = "$want" ] || fail "doctor $*: status $got: $(cat "$WORK/json")"
	python3 - "$WORK/json" "$expression" <<'PY' || fail "doctor $*: $expression: $(cat "$WORK/json")"
import json, sys
r = json.load(open(sys.argv[1]))
c = {f["check"]: f for f in r["checks"]}
sys.exit(0 if eval(sys.argv[2]) else 1)
PY
}
opts=$(store_opts)

# ---- nothing there yet; a filesystem; a mount
[ "$STORE" = s3 ] || mkdir -p "${URL#file://}"
finds 0 'c["filesystem"]["verdict"] == "warning" and "mkfs" in c["filesystem"]["advice"]' "$URL" -o "$opts"
mkfs
finds 0 'all(c[n]["verdict"] == "ok" for n in ("FUSE", "may list", "may write", "may read", "may delete", "conditions", "filesystem", "lease", "latency"))' "$URL" -o "$opts"
mount_fs
finds 0 "'mounted on $MNT' in c['lease']['text'] and c['mount']['verdict'] == 'ok'" "$URL" -o "$opts"
finds 0 'c["requests"]["verdict"] == "ok" and "filesystem" in c' "$MNT" -o "$opts"
finds 0 "c['cache']['verdict'] == 'ok' and c['cache']['text'].startswith('$CACHE,')" "$MNT"
"$PROGRAM" status "$MNT" | grep -qx "  cache folder  *$CACHE" || fail "status does not tell the cache's folder"
! ls "$MNT" | grep -q doctor || fail "doctor's objects are files"

# ---- the report: what one needs, and no keys
"$PROGRAM" doctor "$URL" -o "$opts" --bundle "$WORK/report" >"$WORK/out" || fail "doctor --bundle: $(cat "$WORK/out")"
for words in 'ok .*conditions' 'levels3fs [0-9]' 'LevelDB [0-9]' 'given with -o' 'requests.put' " on $MNT\$"; do
	grep -q "$words" "$WORK/report" || fail "no \"$words\" in the report: $(cat "$WORK/report")"
done
[ "$(stat -c %a "$WORK/report")" = 600 ] || fail "mode $(stat -c %a "$WORK/report") of the report"
! grep -qF "${AWS_SECRET_ACCESS_KEY:-no secret here}" "$WORK/report" || fail "the report has the secret key"
! "$PROGRAM" doctor "$URL" -o "$opts" --bundle "$WORK/report" >/dev/null 2>&1 || fail "a file that was there was overwritten"
umount_fs
finds 1 'c["mount"]["verdict"] == "problem"' "$MNT"
fsck_fs # nor did it leave anything in the store

# ---- what is wrong
finds 1 'c["connection"]["verdict"] == "problem" and "filesystem" not in c' s3://bucket/x -o endpoint=http://127.0.0.1:1,anonymous
finds 1 '"mem_limit" in c["memory"]["text"] and c["memory"]["verdict"] == "problem"' "$URL" -o "$opts,mem_limit=1000G"
"$PROGRAM" doctor "$URL" --bundel x 2>&1 | grep -q 'did you mean "--bundle"' || fail "no suggestion"
# another time than ours, and an answer to nothing
coproc SERVER { exec python3 -c '
import http.server, time
class Late(http.server.BaseHTTPRequestHandler):
    server_version = "MinIO"
    def date_time_string(self, timestamp=None): return super().date_time_string(time.time() + 3600)
    def do_GET(self): self.send_error(403)
    do_HEAD = do_PUT = do_GET
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Late)
print(server.server_port, flush=True)
server.serve_forever()'; }
read -r port <&"${SERVER[0]}" || fail "the server does not start"
server=$SERVER_PID
at_exit 'kill $server 2>/dev/null'
finds 1 'c["clock"]["verdict"] == "problem" and "behind" in c["clock"]["text"] and c["server"]["verdict"] == "warning" and c["server"]["text"] == "MinIO" and c["may list"]["verdict"] == "problem"' \
	s3://bucket/x -o "endpoint=http://127.0.0.1:$port,anonymous,cache_dir=none"
finds 1 'c["certificate"]["verdict"] == "problem" and "http://" in c["certificate"]["advice"]' \
	s3://bucket/x -o "endpoint=https://127.0.0.1:$port,anonymous,cache_dir=none"

if [ "$STORE" = file ]; then
	finds 1 'c["folder"]["verdict"] == "problem"' "$URL-mistyped" -o "$opts"
	# who may only read
	cp "$PROGRAM" "$WORK/levels3fs" && chmod 755 "$WORK" "$WORK/levels3fs" || fail "cp"
	real=$PROGRAM PROGRAM=$WORK/reader
	printf '#!/bin/sh\nexec setpriv --reuid=12345 --regid=12345 --clear-groups "%s/levels3fs" "$@"\n' "$WORK" >"$PROGRAM"
	chmod 755 "$PROGRAM"
	chmod -R go+rX "${URL#file://}"
	finds 1 'c["may write"]["verdict"] == "problem" and "-o ro" in c["may write"]["advice"]' "$URL" -o cache_dir=none
	# (who cannot mount either has one more problem)
	finds any '"not tried" in c["may write"]["text"] and c["filesystem"]["verdict"] == "ok"' "$URL" -o cache_dir=none,ro
	PROGRAM=$real
	exit 0
fi
AWS_SECRET_ACCESS_KEY=wrong finds 1 'c["credentials"]["verdict"] == "ok" and c["may list"]["verdict"] == "problem"' "$URL" -o "$opts"
(
	unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
	HOME=$WORK finds 1 'c["credentials"]["verdict"] == "problem"' "$URL" -o "$opts"
) || exit 1
finds 1 'c["may list"]["verdict"] == "problem"' s3://no-such-bucket-here/x -o "$opts"
# a server that ignores conditions
coproc PROXY { exec "$HERE/../unconditional" "$LEVELS3_TEST_S3_ENDPOINT"; }
read -r endpoint <&"${PROXY[0]}" || fail "the proxy does not start"
proxy=$PROXY_PID
at_exit 'kill $proxy 2>/dev/null'
finds 1 'c["conditions"]["verdict"] == "problem" and "lease_only" in c["conditions"]["advice"] and c["may delete"]["verdict"] == "ok"' \
	"$URL" -o "cache_dir=$CACHE,path_style,endpoint=$endpoint"
