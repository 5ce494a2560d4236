# limit: 200
# The secret key is seen nowhere: not in the process's arguments, environment, log, trace, status, what a core dump would
# hold, or the store; and keys that others can read are refused.
[ "$STORE" = s3 ] || exit 0 # a folder needs no keys
. "$HERE/lib.sh"

# Every byte of a process but that which the kernel leaves out of core dumps.
cat >"$WORK/find_in_memory.py" <<'PY'
import re, sys
pid, words = sys.argv[1], [w.encode() for w in sys.argv[2:]]
found, looked = [], 0
regions, at = [], None
for line in open("/proc/%s/smaps" % pid):
    head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) ", line)
    if head:
        at = (int(head[1], 16), int(head[2], 16), head[3], line.split()[-1])
    elif line.startswith("VmFlags:") and "dd" not in line.split() and at[2].startswith("r") and at[3] not in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
        regions.append(at)
with open("/proc/%s/mem" % pid, "rb", 0) as mem:
    for start, end, mode, name in regions:
        mem.seek(start)
        try:
            text = mem.read(end - start)
        except OSError:
            continue
        looked += len(text)
        found += ["%s at %x (%s)" % (n, start + text.index(w), name) for n, w in enumerate(words) if w in text]
if looked < 1 << 20:
    sys.exit("looked at %d bytes only" % looked)
print("\n".join(found))
PY

secret=$AWS_SECRET_ACCESS_KEY
hidden() { # hidden WHERE PID [LOOKS]: after some work. What is sent with requests is there while one is under way: several looks
	local said looks=${3:-1}
	echo bytes >"$MNT/file.$RANDOM" && sync "$MNT" && cat "$MNT"/file.* >/dev/null || fail "$1: no work can be done"
	while :; do
		said=$(python3 "$WORK/find_in_memory.py" "$2" "$secret") || fail "$1: the memory cannot be looked at: $said"
		looks=$((looks - 1))
		[ -n "$said" ] && [ $looks -gt 0 ] || break
		sleep 0.5
	done
	[ -z "$said" ] || fail "$1: the secret key is in memory that a core dump shows: $said"
	! grep -qF "$secret" "/proc/$2/environ" || fail "$1: in its environment"
	! grep -qF "$secret" "/proc/$2/cmdline" || fail "$1: in its arguments"
	! "$PROGRAM" status --json "$MNT" | grep -qF "$secret" || fail "$1: in its status"
}

mkfs
"$PROGRAM" mount "$URL" "$MNT" -f -d -o "$(store_opts)" >"$WORK/log" 2>&1 &
until mountpoint -q "$MNT"; do
	kill -0 $! 2>/dev/null || fail "not mounted: $(tail -3 "$WORK/log")"
	sleep 0.1
done
# A sanitizer's runtime keeps a copy of the environment of its own.
[ -n "${LEVELS3_TEST_UNDER:-}" ] || hidden "keys from the environment" "$(daemon_pid)"
umount_fs
wait
! grep -qF "$secret" "$WORK/log" || fail "in the log"

# From a file, which must be the owner's alone.
export AWS_SHARED_CREDENTIALS_FILE=$WORK/keys
printf '[work]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$AWS_ACCESS_KEY_ID" "$secret" >"$WORK/keys"
access=$AWS_ACCESS_KEY_ID
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
chmod 644 "$WORK/keys"
"$PROGRAM" mount "$URL" "$MNT" -o "$(store_opts),profile=work" 2>"$WORK/said" && fail "keys that everybody can read were taken"
grep -q "$WORK/keys holds keys, but others have access to it (mode 0644): chmod 600 $WORK/keys" "$WORK/said" || fail "not said: $(cat "$WORK/said")"
chmod 600 "$WORK/keys"
mount_fs profile=work
hidden "keys from a file" "$(daemon_pid)"
umount_fs

# From a program, which inherits nothing of it; from a file of our own; from a container's endpoint.
export AWS_CONFIG_FILE=$WORK/config
printf '{"Version": 1, "AccessKeyId": "%s", "SecretAccessKey": "%s"}\n' "$access" "$secret" >"$WORK/json"
printf '[profile program]\ncredential_process = cat "%s"\n' "$WORK/json" >"$WORK/config"
mount_fs profile=program
hidden "keys from a program" "$(daemon_pid)"
umount_fs
(umask 077 && head -c 32 /dev/urandom | base64 >"$WORK/sse-c")
key=$secret secret=$(cat "$WORK/sse-c") URL=$BASE_URL/customer
"$PROGRAM" mkfs "$URL" -o "$(store_opts),profile=program,sse_c_key_file=$WORK/sse-c" || fail "mkfs with a key of one's own"
mount_fs profile=program,sse_c_key_file="$WORK/sse-c"
hidden "the key of SSE-C" "$(daemon_pid)" 5
umount_fs
secret=$key URL=$BASE_URL/fs
(umask 077 && printf '# ours\n%s:%s\n' "$access" "$secret" >"$WORK/passwd")
mount_fs passwd_file="$WORK/passwd"
hidden "keys from passwd_file" "$(daemon_pid)"
umount_fs
python3 - "$WORK" <<'PY' &
import http.server, json, os, sys
keys = json.load(open(sys.argv[1] + "/json"))
class Endpoint(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        allowed = self.headers.get("Authorization") == "token of the pod"
        body = json.dumps({**keys, "Token": None, "Expiration": "2099-01-01T00:00:00Z"} if allowed else {}).encode()
        self.send_response(200 if allowed else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Endpoint)
with open(sys.argv[1] + "/port.new", "w") as f:
    print(server.server_port, file=f)
os.rename(sys.argv[1] + "/port.new", sys.argv[1] + "/port")
server.serve_forever()
PY
endpoint=$!
until [ -s "$WORK/port" ]; do kill -0 $endpoint 2>/dev/null || fail "no endpoint"; sleep 0.1; done
(
	export AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_CONFIG_FILE=/dev/null
	export AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:$(cat "$WORK/port")/ AWS_CONTAINER_AUTHORIZATION_TOKEN="token of the pod"
	mount_fs
) || exit 1
hidden "keys of a container" "$(daemon_pid)"
! grep -qF "token of the pod" "/proc/$(daemon_pid)/environ" || fail "the container's token is in the environment"
umount_fs
kill $endpoint

# Nothing of it in what it leaves behind.
! grep -rqF "$secret" "$CACHE" || fail "in the cache"
"$PROGRAM" cp "$URL" / "$WORK" -o "$(store_opts),profile=work" >/dev/null 2>"$WORK/said" || fail "cp: $(cat "$WORK/said")"
! grep -qF "$secret" "$WORK/said" || fail "in what cp says"
fsck_fs -o profile=work
