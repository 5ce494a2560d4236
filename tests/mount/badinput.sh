# limit: 200
# Whatever is wrong is named, with the way out, the right exit code, and nothing changed in the store.
. "$HERE/lib.sh"

# refused WORD[|WORD] STATUS COMMAND...: must fail with that status and name the words
refused() {
	local words=$1 want=$2 got
	shift 2
	timeout 60 "$@" >"$WORK/out" 2>&1 </dev/null
	got=$?
	[ $got != 124 ] || fail "hangs: $*"
	[ $got = "$want" ] || fail "exit status $got instead of $want: $* ($(cat "$WORK/out"))"
	grep -qiE -- "$words" "$WORK/out" || fail "the message of \"$*\" does not name $words: $(cat "$WORK/out")"
	! grep -qF "${AWS_SECRET_ACCESS_KEY:-no secret set}" "$WORK/out" || fail "the secret key was printed"
}
m() { refused "$1" "$2" "$PROGRAM" mount "$3" "$4" -o "$(store_opts)${5:+,$5}"; }

mkfs
snapshot() { # the store's objects, as far as one can see them from outside
	if [ "$STORE" = file ]; then (cd "${URL#file://}" && find . -type f ! -name .lock -exec md5sum {} + | sort); else "$PROGRAM" fsck "$URL" -o "$(store_opts)"; fi
}
snapshot >"$WORK/before"

m 'mem:|no store of that kind' 1 "ftp://host/x" "$MNT"
m 's3://|file://' 1 "no-url" "$MNT"
m 'absolute' 1 "file://relative/path" "$MNT"
m 'bucket' 1 "s3://" "$MNT"
m 'cache_sise.*cache_size' 1 "$URL" "$MNT" "cache_sise=5G"
m 'cache_size' 1 "$URL" "$MNT" "cache_size=lots"
m 'commit' 1 "$URL" "$MNT" "commit=-1"
m 'renew' 1 "$URL" "$MNT" "lease=10,renew=9"
refused 'usage|URL' 1 "$PROGRAM" mount
refused 'monut.*mount|mount' 1 "$PROGRAM" monut "$URL" "$MNT"
m "$WORK/none" 32 "$URL" "$WORK/none"
touch "$WORK/plain"
m 'not a (folder|directory)' 32 "$URL" "$WORK/plain"
mkdir "$WORK/full" && touch "$WORK/full/x"
m 'not empty|nonempty' 32 "$URL" "$WORK/full"
mkdir "$WORK/locked-cache" && chown 12345 "$WORK/locked-cache"
m "locked-cache.*(owner|own|belong|12345)" 32 "$URL" "$MNT" "cache_dir=$WORK/locked-cache"
touch "$WORK/cache-file"
m "cache-file" 32 "$URL" "$MNT" "cache_dir=$WORK/cache-file"
refused 'not mounted|no levels3fs|not a mount' 1 "$PROGRAM" umount "$MNT"
refused 'mkfs|already|holds' 1 "$PROGRAM" mkfs "$URL" -o "$(store_opts)"

if [ "$STORE" = file ]; then
	m 'no such folder|mkfs' 32 "file://$WORK/nowhere" "$MNT"
	mkdir "$WORK/foreign" && echo precious >"$WORK/foreign/thesis.txt"
	m 'holds objects' 32 "file://$WORK/foreign" "$MNT"
	m 'holds objects|empty' 32 "file://$WORK/foreign" "$MNT" create
	refused 'holds objects|empty' 1 "$PROGRAM" mkfs "file://$WORK/foreign"
	[ "$(ls -A "$WORK/foreign")" = thesis.txt ] && [ "$(cat "$WORK/foreign/thesis.txt")" = precious ] || fail "a foreign folder was touched"
	# A newer format: the version in the header of super, checksum made right.
	cp -r "${URL#file://}" "$WORK/newer"
	python3 - "$WORK/newer/super" <<'PY' || fail "cannot make a newer super"
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[12] = 2
open(sys.argv[1], "wb").write(data)
PY
	m 'super.*(damaged|version|newer)' 32 "file://$WORK/newer" "$MNT"
else
	m 'bucket' 32 "s3://no-such-bucket-$$/x" "$MNT"
	(AWS_SECRET_ACCESS_KEY=wrongwrongwrong m 'SignatureDoesNotMatch|secret key' 32 "$URL" "$MNT") || exit 1
	(AWS_ACCESS_KEY_ID=unknownkey m 'InvalidAccessKeyId|access key' 32 "$URL" "$MNT") || exit 1
	(unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY; HOME=$WORK m 'AWS_ACCESS_KEY_ID.*credentials' 32 "$URL" "$MNT") || exit 1
	refused 'refused|connect' 32 "$PROGRAM" mount "$URL" "$MNT" -o "endpoint=http://127.0.0.1:1,path_style,cache_dir=none,retry=1"
	refused 'endpoint' 1 "$PROGRAM" mount "$URL" "$MNT" -o "endpoint=gopher://x,cache_dir=none"
	refused 'clock|RequestTimeTooSkewed' 32 faketime -f '+2h' "$PROGRAM" mount "$URL" "$MNT" -o "$(store_opts)"

	# A server without conditional writes is refused, for mkfs and for mounting; lease_only accepts it.
	coproc PROXY { exec "$HERE/../unconditional" "$LEVELS3_TEST_S3_ENDPOINT"; }
	read -r proxy <&"${PROXY[0]}" || fail "the proxy did not start"
	refused 'condition|If-None-Match|If-Match' 32 "$PROGRAM" mount "$URL" "$MNT" -o "endpoint=$proxy,path_style,cache_dir=none"
	grep -q lease_only "$WORK/out" || fail "no hint at lease_only: $(cat "$WORK/out")"
	"$PROGRAM" mount "$URL" "$MNT" -o "endpoint=$proxy,path_style,cache_dir=none,lease_only,lease=4,renew=1" 2>"$WORK/out" || fail "lease_only: $(cat "$WORK/out")"
	echo guarded >"$MNT/by-time" && umount_fs
	eval "exec ${PROXY[1]}>&-"

	# Keys that may only read.
	admin() { timeout 60 radosgw-admin -c "$LEVELS3_TEST_RGW_DIR/ceph.conf" user modify --uid=levels3 --op-mask="$1" >/dev/null 2>&1; }
	at_exit 'admin "read, write, delete"'
	admin read || fail "cannot change the user's rights"
	m 'AccessDenied|no right|denies' 32 "$URL" "$MNT" retry=1
	"$PROGRAM" mount "$URL" "$MNT" -o "$(store_opts),ro" || fail "keys that may read cannot mount read-only"
	umount_fs
	admin 'read, write, delete' || fail "cannot give the rights back"
fi

mount_fs
m 'mounted|in use' 32 "$URL" "$MNT"
umount_fs
[ "$STORE" != file ] || { mkdir "$WORK/ro" && mount -t tmpfs none "$WORK/ro" && cp -r "${URL#file://}" "$WORK/ro/s" && mount -o remount,ro "$WORK/ro"; m 'read-only|denied' 32 "file://$WORK/ro/s" "$MNT"; umount "$WORK/ro"; }
fsck_fs
