# limit: 250
# `levels3fs bench` measures the store without a trace, also where a filesystem is; the counting proxy of contrib/bench counts right.
. "$HERE/lib.sh"

objects_of_bench() { # prints what is left of its objects
	if [ "$STORE" = file ]; then find "${URL#file://}/bench" -type f 2>/dev/null; else
		curl -s --noproxy '*' --aws-sigv4 "aws:amz:$AWS_REGION:s3" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
			-H "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" \
			"$LEVELS3_TEST_S3_ENDPOINT/${bucket}?prefix=${prefix}%2Fbench%2F" | grep -o '<Key>[^<]*'
	fi
}
bucket=${URL#s3://} bucket=${bucket%%/*} prefix=${URL#s3://*/}
prefix=${prefix//\//%2F}

mkfs
mount_fs size_limit=5G
echo kept >"$MNT/kept"
# ---- the bench of a mount: every figure with its verdict, and nothing is left
"$PROGRAM" bench "$MNT" --count 50 --size 4M --json >"$WORK/answer" || fail "bench of the mount: exit $?"
python3 - "$WORK/answer" <<'PY' || fail "not what --json promises: $(cat "$WORK/answer")"
import json, sys
answer = json.load(open(sys.argv[1]))
assert set(answer) == {"create", "stat", "fsync", "write", "read", "random_read", "unlink"}
for name, r in answer.items():
    assert r["count"] > 0 and r["seconds"] > 0 and 0 < r["p50_ms"] <= r["p99_ms"], name
    assert r["verdict"] in ("green", "yellow", "red") and "green" in r["reference"], name
assert answer["create"]["count"] == answer["unlink"]["count"] == 50
assert answer["write"]["bytes"] == answer["read"]["bytes"] == 4 << 20
PY
"$PROGRAM" bench "$MNT" --size 4G 2>"$WORK/refused" && fail "a file of most of what is free"
grep -q 'only 5.* free' "$WORK/refused" || fail "does not say what is free: $(cat "$WORK/refused")"
"$PROGRAM" bench "$MNT" --size 2G >/dev/null 2>&1 &
pid=$!
until ls "$MNT"/bench-*/large >/dev/null 2>&1 || ! kill -0 $pid 2>/dev/null; do sleep 0.1; done
kill -INT $pid
wait $pid
[ $? = 130 ] || fail "interrupted, but exit $?"
[ "$(ls "$MNT")" = kept ] || fail "left in the mount: $(ls "$MNT")"
umount_fs
# in any other folder there are figures as well, but no verdict on what a store decides
mkdir "$WORK/plain"
"$PROGRAM" bench "$WORK/plain" --count 10 --size 1M --json | python3 -c '
import json, sys
r = json.load(sys.stdin)
sys.exit(r["fsync"]["verdict"] is not None or r["create"]["verdict"] is None)' || fail "bench of a folder"

"$PROGRAM" bench "$URL" -o "$(store_opts)" --count 20 --size 1M --total 8M --threads 4 --json >"$WORK/answer" || fail "bench: exit $?"
python3 - "$WORK/answer" <<'PY' || fail "not what --json promises: $(cat "$WORK/answer")"
import json, sys
answer = json.load(open(sys.argv[1]))
for name in ("put_small", "get_small", "put_large_parallel", "get_large_parallel", "get_range"):
    r = answer[name]
    assert r["count"] > 0 and r["seconds"] > 0 and 0 < r["p50_ms"] <= r["p99_ms"] <= r["max_ms"], name
assert answer["put_large_parallel"]["bytes"] == 8 << 20
PY
[ -z "$(objects_of_bench)" ] || fail "objects are left: $(objects_of_bench | head -3)"
fsck_fs

"$PROGRAM" bench "$URL" -o "$(store_opts)" --total 4G >"$WORK/long" 2>&1 &
pid=$!
until grep -q "4 KiB GET, parallel" "$WORK/long" || ! kill -0 $pid 2>/dev/null; do sleep 0.1; done
[ -n "$(objects_of_bench)" ] || fail "nothing is under bench/ while it runs: this test looks in the wrong place"
kill -INT $pid
wait $pid
[ $? = 130 ] || fail "interrupted, but exit $?: $(cat "$WORK/long")"
[ -z "$(objects_of_bench)" ] || fail "objects are left after an interruption"

"$PROGRAM" bench "$URL" --total 0 2>"$WORK/refused" && fail "a total of nothing is accepted"
grep -q 'total' "$WORK/refused" || fail "does not say what is wrong: $(cat "$WORK/refused")"

[ "$STORE" = s3 ] || exit 0
proxy=$(dirname "$PROGRAM")/contrib/bench.d/proxy
server=${LEVELS3_TEST_S3_ENDPOINT##*:}
coproc "$proxy" "${server%/}" 20 "$WORK/counts"
read -r port <&"${COPROC[0]}" || fail "the proxy does not start"
real=$LEVELS3_TEST_S3_ENDPOINT LEVELS3_TEST_S3_ENDPOINT=http://127.0.0.1:$port
counted() { python3 -c '
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print(json.loads(s.makefile().read())[sys.argv[2]])' "$WORK/counts" "$1"; }
# Nothing of its own accord between two looks at the counts.
mount_fs lease=600,renew=200,commit=3600
for kind in put get; do eval "${kind}_0=\$((\$(counted $kind) - \$(status_value requests.$kind)))"; done
[ "$(cat "$MNT/kept")" = kept ] || fail "other bytes came through the proxy"
for i in 1 2 3; do
	head -c 100000 /dev/urandom >"$MNT/$i"
	start=$(date +%s%N)
	sync "$MNT/$i"
	[ $(($(date +%s%N) - start)) -ge 20000000 ] || fail "a round trip took less than the proxy's delay"
done
[ "$(status_value requests.put)" -ge 3 ] || fail "three fsyncs without three PUTs"
for kind in put get; do
	eval "first=\$${kind}_0"
	[ $(($(counted $kind) - $(status_value requests.$kind))) = "$first" ] || fail "$kind: the proxy counted $(counted $kind), the mount $(status_value requests.$kind)"
done
umount_fs
[ "$(counted lost)" = 0 ] || fail "the proxy lost track of a connection"
LEVELS3_TEST_S3_ENDPOINT=$real
kill "$COPROC_PID"
