# Sourced by the tests of faults: what breaks, and who must not notice.

# Short enough that every time-out passes within a test.
FAULT_OPTIONS=timeout=1,retry=4,retry_delay=50ms,lease=4,renew=1,commit=1,mem_limit=64M

rgw() { "$HERE/../rgw" "$1" "$LEVELS3_TEST_RGW_DIR" "${@:2}" || fail "rgw $*"; }
need_rgw() {
	[ "$STORE" = s3 ] || exit 0 # a folder has no server that could fail
	[ -n "${LEVELS3_TEST_RGW_DIR:-}" ] || fail "LEVELS3_TEST_RGW_DIR: this test breaks its server, so it must be one of tests/rgw"
}

# ---- the line

# start_proxy: from now on store_opts leads through it.
start_proxy() {
	local server=${LEVELS3_TEST_S3_ENDPOINT##*:}
	coproc PROXY { exec "$(dirname "$PROGRAM")/contrib/bench.d/proxy" "${server%/}" 0 "$WORK/counts" "$WORK/control"; }
	read -r port <&"${PROXY[0]}" || fail "the proxy does not start"
	at_exit "kill $PROXY_PID"
	LEVELS3_TEST_S3_ENDPOINT=http://127.0.0.1:$port
}
line() { # a command of contrib/bench.d/fault.h; prints the answer
	python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode())
print(s.makefile().read())' "$WORK/control" "$*" || fail "the proxy does not answer"
}
fault() { [ "$(line "$@")" = ok ] || fail "the proxy does not know: $*"; }
hits() { line hits | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
await_hits() { # FAULT MORE
	local goal=$(($(hits "$1") + $2))
	until [ "$(hits "$1")" -ge "$goal" ]; do sleep 0.05; done
}

# ---- who reads all the time what is in the cache

start_reader() {
	mkdir "$MNT/reader" && python3 "$HERE/witness.py" fill "$MNT/reader" || fail "no files for the reader"
	start_reader_again
}
start_reader_again() { # in another mount
	rm -f "$WORK/read"
	python3 "$HERE/witness.py" read "$MNT/reader" "$WORK/read" &
	reader=$!
	await_reads
}
# The reader goes on: five times more all of its files.
await_reads() { await_lines "$WORK/read" 5 $reader "the reader"; }
stop_reader() {
	kill -TERM $reader
	wait $reader || fail "the reader met an error"
}
await_writes() { await_lines "$WORK/witnessed" 15 $witness "the witness"; }

# ---- processes

state_of() { sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null; }

# dies PID WHAT [SIGNAL]: it goes although what it waits for does not come.
dies() {
	kill "-${3:-KILL}" "$1"
	for _ in $(seq 300); do
		case $(state_of "$1") in "" | Z) return 0 ;; esac
		sleep 0.1
	done
	fail "$2: still there 30 s after SIG${3:-KILL}, in state $(state_of "$1")"
}
