# limit: 300
# Whatever is wrong is named, with the way out, the right exit code, and nothing changed in the store.
. "$HERE/lib.sh"

# ---- what is asserted

# refused WORDS STATUS COMMAND...: must fail with that status, and its message match the regular expression WORDS
refused() {
	local words=$1 want=$2 got
	shift 2
	case $(type -t "$1") in
	function) "$@" ;; # of those below, which have their own limit
	*) timeout 60 "$@" ;;
	esac >"$WORK/out" 2>&1 </dev/null
	got=$?
	[ $got != 124 ] || fail "hangs: $*"
	[ $got = "$want" ] || fail "exit status $got instead of $want: $* ($(cat "$WORK/out"))"
	grep -qiE -- "$words" "$WORK/out" || fail "the message of \"$*\" does not say \"$words\": $(cat "$WORK/out")"
	! grep -qF "${AWS_SECRET_ACCESS_KEY:-no secret set}" "$WORK/out" || fail "the secret key was printed"
	! mountpoint -q "$MNT" || [ -n "${may_be_mounted:-}" ] || fail "mounted all the same: $*"
}

# m WORDS STATUS URL DIR [OPTIONS]: the same of a mount command
m() { refused "$1" "$2" "$PROGRAM" mount "$3" "$4" -o "$(store_opts)${5:+,$5}"; }

# Every object that the store holds for this test: name, size, etag (file: checksum).
listing() {
	if [ "$STORE" = file ]; then
		(cd "${BASE_URL#file://}" && find . -type f ! -name .lock -exec md5sum {} + | sort -k 2)
		return
	fi
	admin bucket list --bucket="$bucket" --max-entries=1000000 | python3 -c '
import json, sys
for o in sorted(json.load(sys.stdin), key=lambda o: o["name"]):
    if o["name"].startswith(sys.argv[1]):
        print(o["name"], o["meta"]["size"], o["meta"]["etag"])' "$prefix/"
}

remember() { listing >"$WORK/before" && [ -s "$WORK/before" ] || fail "cannot list the store"; }

unchanged() { # WHAT WAS TRIED
	listing >"$WORK/after" || fail "cannot list the store"
	cmp -s "$WORK/before" "$WORK/after" ||
		fail "$1 changed the store: $(diff "$WORK/before" "$WORK/after" | head -5)"
}

# ---- behind the store's back

bucket=${BASE_URL#s3://} prefix=${BASE_URL#s3://*/}
bucket=${bucket%%/*}
admin() { timeout 60 radosgw-admin -c "$LEVELS3_TEST_RGW_DIR/ceph.conf" "$@" 2>/dev/null; }

s3_curl() { # KEY FILE-TO-SEND|/dev/null CURL-OPTIONS...
	local key=$1 hash
	hash=$(sha256sum <"$2" | cut -d ' ' -f 1)
	shift 2
	curl -sf --noproxy '*' --max-time 60 --aws-sigv4 "aws:amz:$AWS_REGION:s3" \
		--user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" -H "x-amz-content-sha256: $hash" "$@" \
		"$LEVELS3_TEST_S3_ENDPOINT/$bucket/$prefix/$key"
}

fetch_object() { # KEY FILE
	if [ "$STORE" = file ]; then cp "${BASE_URL#file://}/$1" "$2"; else s3_curl "$1" /dev/null -o "$2"; fi ||
		fail "cannot read $1 from the store"
}

put_object() { # KEY FILE
	if [ "$STORE" = file ]; then
		mkdir -p "$(dirname "${BASE_URL#file://}/$1")" && cp "$2" "${BASE_URL#file://}/$1"
	else s3_curl "$1" "$2" -T "$2"; fi || fail "cannot write $1 to the store"
}

# In a mount namespace with a /dev of its own that holds what is named: devices, or "bare" for none.
with_dev() { # "DEVICE..." COMMAND...
	timeout 60 unshare -m --propagation private sh -c '
		mount -t tmpfs -o mode=755 none /dev && cp "$2" /dev/levels3fs && mkdir -m 777 /dev/m || exit 99
		mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9
		[ "$1" != fuse ] || mknod -m 666 /dev/fuse c 10 229
		[ "$1" != locked ] || mknod -m 600 /dev/fuse c 10 229
		shift 2
		exec "$@"' - "$1" "$PROGRAM" "${@:2}"
}
as_user() { # "fuse|locked" COMMAND...: the program is /dev/levels3fs, and /dev/m a mountpoint
	with_dev "$1" setpriv --reuid=12345 --regid=12345 --clear-groups env HOME=/dev/m "${@:2}"
}

# ---- words

bad_arguments() {
	refused 'levels3fs mount +URL DIR' 1 "$PROGRAM"
	refused 'needs a URL and a folder' 1 "$PROGRAM" mount
	refused 'needs a URL and a folder' 1 "$PROGRAM" mount "$URL"
	refused 'one URL and one folder' 1 "$PROGRAM" mount "$URL" "$MNT" "$WORK"
	refused 'URL is an empty word' 1 "$PROGRAM" mount "" "$MNT"
	refused 'URL comes first' 1 "$PROGRAM" mount "$MNT" "$URL"
	refused 'mountpoint is an empty word' 32 "$PROGRAM" mount "$URL" ""
	refused 'monut.*did you mean.*mount' 1 "$PROGRAM" monut "$URL" "$MNT"
	refused "option '--forground'.*|levels3fs mount --help" 1 "$PROGRAM" mount --forground "$URL" "$MNT"
	refused 'umount needs one folder' 1 "$PROGRAM" umount
	refused 'is not mounted' 1 "$PROGRAM" umount "$MNT"
	refused 'is not mounted' 1 "$PROGRAM" umount "$WORK/nowhere"
	refused 'no levels3fs is mounted on' 1 "$PROGRAM" status "$MNT"
	refused 'mkfs needs one URL' 1 "$PROGRAM" mkfs
	refused 'fsck needs one URL' 16 "$PROGRAM" fsck
	refused 'unknown option.*help mount' 1 "$PROGRAM" mkfs "$URL" -o nonsense
	refused 'unknown option.*help mount' 16 "$PROGRAM" fsck "$URL" -o nonsense
}

bad_urls() {
	local s
	for s in ftp://host/x http://host/bucket s3:bucket/x "$WORK/folder" mem no-url; do
		m 's3://BUCKET/PREFIX or file:///ABSOLUTE/PATH' 1 "$s" "$MNT"
	done
	m 'absolute path.*file:///' 1 "file://relative/path" "$MNT"
	m 'below the root' 1 "file:///" "$MNT"
	m 'no bucket; write s3://BUCKET/PREFIX' 1 "s3://" "$MNT"
	m 'no bucket; write s3://BUCKET/PREFIX' 1 "s3:///prefix" "$MNT"
	m '3 to 63 characters' 1 "s3://b/x" "$MNT"
	m 'letters, digits' 1 "s3://under score/x" "$MNT"
	m 'endpoint=https://HOST:PORT' 1 "s3://host:9000/x" "$MNT"
	m 'empty, . or .. component' 1 "s3://bucket/a//b" "$MNT"
	m 'empty, . or .. component' 1 "s3://bucket/../x" "$MNT"
	m "options are given after -o" 1 "s3://bucket/x?region=eu-west-1" "$MNT"
	m "options are given after -o" 1 "s3://bucket/x#y" "$MNT"
	m 'control character' 1 "$(printf 's3://bucket/a\tb')" "$MNT"
	m 'no keys in a URL.*AWS_ACCESS_KEY_ID' 1 "s3://key:password@bucket/x" "$MNT"
	for s in gopher://x http:// "http://a b" http://host/path http://host:0 http://host:70000 http://host:http; do
		refused 'endpoint=.*(https://|host name|port)' 1 "$PROGRAM" mount s3://bucket/x "$MNT" -o "cache_dir=none,endpoint=$s"
	done
	refused 'endpoint: no user and password' 1 "$PROGRAM" mount s3://bucket/x "$MNT" -o cache_dir=none,endpoint=http://key:word@host
	! grep -q 'key:word' "$WORK/out" || fail "a password was printed"
}

bad_options() {
	local o
	m 'cache_sise.*did you mean.*cache_size' 1 "$URL" "$MNT" cache_sise=5G
	m 'unknown option "frobnicate".*--help' 1 "$URL" "$MNT" frobnicate
	m 'unknown option ""' 1 "$URL" "$MNT" =5
	for o in cache_size= cache_size=lots cache_size=-1 cache_size=1K cache_size=99999999999999999999999 mem_limit=1M \
		commit=-1 commit=0 commit=5weeks lease=0.1 timeout=1ms retry=0 retry=ten connections=99999 segment_size=3; do
		m "option ${o%%=*}=.*must be a (size|time|number) from .* to " 1 "$URL" "$MNT" "$o"
	done
	for o in cache_size region endpoint profile; do
		m "option $o needs a value: $o=[A-Z]+" 1 "$URL" "$MNT" "$o"
	done
	m 'option region needs a value' 1 "$URL" "$MNT" region=
	m 'option fsname needs a value' 1 "$URL" "$MNT" fsname=
	m 'option path_style takes no value' 1 "$URL" "$MNT" path_style=yes
	m 'option cache_dir=here: must be an absolute path or "none"' 1 "$URL" "$MNT" cache_dir=here
	m 'renew=9 must be less than half of lease=10' 1 "$URL" "$MNT" lease=10,renew=9
	m 'ro and create exclude each other' 1 "$URL" "$MNT" ro,create
}

# ---- this machine

bad_mountpoints() {
	m "$WORK/none does not exist; make it" 32 "$URL" "$WORK/none"
	touch "$WORK/plain"
	m 'plain is not a folder' 32 "$URL" "$WORK/plain"
	mkdir -p "$WORK/full/sub"
	m 'full is not empty.*-o nonempty' 32 "$URL" "$WORK/full"
	refused 'not yours to write to' 32 as_user fuse /dev/levels3fs mount "$URL" /
	refused '/dev/fuse is missing.*modprobe fuse' 32 with_dev bare /dev/levels3fs mount "$URL" /dev/m
	refused 'may not use /dev/fuse.*chmod 666' 32 as_user locked /dev/levels3fs mount "$URL" /dev/m
	refused 'fusermount3 is missing.*package fuse3' 32 as_user fuse env PATH=/nowhere /dev/levels3fs mount "$URL" /dev/m
	m 'cache folder .* is in the mountpoint.*cache_dir=DIR' 32 "$URL" "$MNT" "cache_dir=$MNT/deep/cache"
	[ -z "$(ls -A "$MNT")" ] || fail "a folder was left in the mountpoint"
	m 'the store .* is in the mountpoint' 32 "file://$MNT/store" "$MNT" create
	mkdir "$WORK/s" "$WORK/s/m"
	m 'the mountpoint .* is in the store' 32 "file://$WORK/s" "$WORK/s/m" create
	rmdir "$WORK/s/m" "$WORK/s" || fail "something was made in the store's folder"
}

bad_mounted() {
	local pid
	mount_fs
	remember
	may_be_mounted=1
	m "is mounted on $MNT already" 32 "$URL" "$MNT"
	mkdir -p "$WORK/second"
	m "held by $(uname -n), pid [0-9]+, mounted on $MNT since" 32 "$URL" "$WORK/second"
	refused 'holds a levels3 filesystem already' 1 "$PROGRAM" mkfs "$URL" -o "$(store_opts)"
	unchanged "what was tried beside a mount"
	# A mount whose process died is in nobody's way.
	pid=$(daemon_pid)
	kill -9 "$pid"
	while [ -d "/proc/$pid" ]; do sleep 0.05; done
	refused 'does not answer: it has died' 1 "$PROGRAM" status "$MNT"
	refused 'process has died is still on' 32 "$PROGRAM" mount "$URL" "$MNT/below" -o "$(store_opts)"
	mount_fs 2>"$WORK/out"
	grep -q 'removed the dead mount' "$WORK/out" || fail "a dead mount vanished in silence: $(cat "$WORK/out")"
	umount_fs
	may_be_mounted=
	remember # a mount and its end write; what comes must not
}

bad_caches() {
	mkdir "$WORK/other" && chown 12345 "$WORK/other"
	m "other belongs to user 12345" 32 "$URL" "$MNT" "cache_dir=$WORK/other"
	mkdir -m 777 "$WORK/open"
	m "open can be written by others.*chmod go-w" 32 "$URL" "$MNT" "cache_dir=$WORK/open"
	touch "$WORK/cache-file"
	m "cache-file is a link or no folder" 32 "$URL" "$MNT" "cache_dir=$WORK/cache-file"
	ln -s "$WORK" "$WORK/cache-link"
	m "cache-link is a link or no folder" 32 "$URL" "$MNT" "cache_dir=$WORK/cache-link"
	mkdir "$WORK/tmp" && mount -t tmpfs -o size=64k none "$WORK/tmp" || fail "tmpfs"
	mkdir -m 700 "$WORK/tmp/cache"
	mount -o remount,ro "$WORK/tmp"
	m "cache folder .*tmp/cache.*Read-only" 32 "$URL" "$MNT" "cache_dir=$WORK/tmp/cache"
	m "cache folder .*tmp/new.*Read-only" 32 "$URL" "$MNT" "cache_dir=$WORK/tmp/new"
	unchanged "a mount with a bad cache folder"
	# A full disk is no reason not to mount: the cache is a comfort.
	mount -o remount,rw "$WORK/tmp"
	head -c 1M /dev/zero >"$WORK/tmp/fill" 2>/dev/null
	mount_fs "cache_dir=$WORK/tmp/cache" 2>"$WORK/out"
	grep -q 'going on without: No space left' "$WORK/out" || fail "nothing said of a full cache disk: $(cat "$WORK/out")"
	head -c 300K /dev/urandom >"$MNT/random" && md5sum <"$MNT/random" >"$WORK/sum" && sync "$MNT" || fail "writing with a full cache disk"
	echo 3 >/proc/sys/vm/drop_caches
	md5sum <"$MNT/random" | cmp -s - "$WORK/sum" || fail "reading back with a full cache disk"
	rm "$MNT/random"
	umount_fs
	umount "$WORK/tmp"
	remember
}

# ---- the store

# What is there already is never touched.
foreign_prefix() {
	echo precious >"$WORK/thesis"
	put_object foreign/thesis.txt "$WORK/thesis"
	put_object foreign/chain/notes "$WORK/thesis"
	remember
	m 'holds objects, but none of levels3' 32 "$BASE_URL/foreign" "$MNT"
	m 'is not empty, and holds no levels3' 32 "$BASE_URL/foreign" "$MNT" create
	refused 'is not empty, and holds no levels3' 1 "$PROGRAM" mkfs "$BASE_URL/foreign" -o "$(store_opts)"
	refused 'holds objects, but none of levels3' 8 "$PROGRAM" fsck "$BASE_URL/foreign" -o "$(store_opts)"
	refused 'holds a levels3 filesystem already' 1 "$PROGRAM" mkfs "$URL" -o "$(store_opts)"
	unchanged "a prefix that holds something else"
}

# A prefix that holds nothing is not made into anything by accident.
empty_prefix() {
	[ "$STORE" = s3 ] || mkdir -p "${BASE_URL#file://}/empty"
	m 'is empty: make a filesystem with "levels3fs mkfs"' 32 "$BASE_URL/empty" "$MNT"
	m 'is empty: make a filesystem with "levels3fs mkfs"' 32 "$BASE_URL/empty" "$MNT" ro
	refused 'is empty' 8 "$PROGRAM" fsck "$BASE_URL/empty" -o "$(store_opts)"
	unchanged "an empty prefix"
}

# forged FIELD=NUMBER: BASE_URL/newer with that in its super object
forged() {
	cp "$WORK/super" "$WORK/super.new" && "$HERE/../forge" "$WORK/super.new" "$@" || fail "cannot forge $*"
	put_object newer/super "$WORK/super.new"
	remember
}

newer_formats() {
	local o url=$BASE_URL/newer
	"$PROGRAM" mkfs "$url" -o "$(store_opts)" >/dev/null || fail "mkfs $url"
	fetch_object newer/super "$WORK/super"

	forged version=2
	for o in '' ro; do m 'super: format version 2, this levels3fs reads up to 1' 32 "$url" "$MNT" $o; done
	grep -q 'install a newer levels3fs' "$WORK/out" || fail "no way out: $(cat "$WORK/out")"
	refused 'format version 2' 8 "$PROGRAM" fsck "$url" -o "$(store_opts)"
	refused 'format version 2' 1 "$PROGRAM" mkfs "$url" -o "$(store_opts)"
	m 'format version 2' 32 "$url" "$MNT" create
	unchanged "a newer format version"

	forged incompat=4096
	for o in '' ro create; do m 'made by a newer levels3.*0x1000' 32 "$url" "$MNT" $o; done
	grep -q 'install a newer levels3fs' "$WORK/out" || fail "no way out: $(cat "$WORK/out")"
	refused 'newer levels3' 8 "$PROGRAM" fsck "$url" -o "$(store_opts)"
	refused 'newer levels3' 1 "$PROGRAM" mkfs "$url" -o "$(store_opts)"
	unchanged "an unknown incompatible feature"

	forged ro_compat=2
	m 'newer levels3 \(0x2\).*only read.*-o ro' 32 "$url" "$MNT"
	"$PROGRAM" mount "$url" "$MNT" -o "$(store_opts),ro" || fail "an unknown ro_compat feature stops a read-only mount"
	ls "$MNT" >/dev/null || fail "cannot read"
	umount_fs
	unchanged "an unknown feature that allows reading"

	forged compat=2
	"$PROGRAM" mount "$url" "$MNT" -o "$(store_opts)" || fail "an unknown compat feature stops a mount"
	umount_fs

	cp "$WORK/super" "$WORK/super.new"
	printf '\125' | dd of="$WORK/super.new" bs=1 seek=100 conv=notrunc status=none
	put_object newer/super "$WORK/super.new"
	remember
	m 'super: content damaged' 32 "$url" "$MNT"
	echo '<html>Welcome!</html><!-- padding, so that it is longer than a header would be -->' >"$WORK/html"
	put_object newer/super "$WORK/html"
	remember
	m 'super: was not written by levels3fs' 32 "$url" "$MNT"
	m 'super: was not written by levels3fs' 32 "$url" "$MNT" create
	refused 'super: was not written by levels3fs' 1 "$PROGRAM" mkfs "$url" -o "$(store_opts)"
	unchanged "a damaged super object"
	put_object newer/super "$WORK/super"
	remember
}

bad_folder() {
	local s=${URL#file://}
	m 'no such folder; levels3fs mkfs' 32 "file://$WORK/nowhere" "$MNT"
	refused 'parent folder does not exist: make that first' 1 "$PROGRAM" mkfs "file://$WORK/nowhere/fs"
	touch "$WORK/plain-store"
	m 'is not a folder' 1 "file://$WORK/plain-store" "$MNT"
	mkdir "$WORK/tmp2" && mount -t tmpfs none "$WORK/tmp2" && cp -r "$s" "$WORK/tmp2/fs" && mount -o remount,ro "$WORK/tmp2" || fail tmpfs
	m 'Read-only file system; with the option ro' 32 "file://$WORK/tmp2/fs" "$MNT"
	m 'Read-only file system' 32 "file://$WORK/tmp2/new" "$MNT" create
	"$PROGRAM" mount "file://$WORK/tmp2/fs" "$MNT" -o "$(store_opts),ro" || fail "a folder that can be read cannot be mounted read-only"
	umount_fs
	umount "$WORK/tmp2"
	chmod 755 "$WORK" "$(dirname "$WORK")"
	refused 'Permission denied; user 12345 needs the right' 1 as_user fuse /dev/levels3fs mkfs "file://$s" -o cache_dir=none
}

bad_keys() {
	local so
	so=$(store_opts)
	(AWS_SECRET_ACCESS_KEY=wrongwrongwrong m 'SignatureDoesNotMatch.*secret key.*~/.aws/credentials' 32 "$URL" "$MNT") || exit 1
	(AWS_ACCESS_KEY_ID=unknownkey m 'InvalidAccessKeyId.*does not know this access key' 32 "$URL" "$MNT") || exit 1
	(AWS_SECRET_ACCESS_KEY='a b' m 'blanks or control characters' 32 "$URL" "$MNT") || exit 1
	(unset AWS_SECRET_ACCESS_KEY; m 'AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not' 32 "$URL" "$MNT") || exit 1
	m 'profile nobody: in neither .*credentials nor .*config' 1 "$URL" "$MNT" profile=nobody
	(
		unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
		export HOME=$WORK/home AWS_EC2_METADATA_DISABLED=true
		mkdir -p "$HOME/.aws"
		m "AWS_ACCESS_KEY_ID.*not set.*neither $HOME/.aws/credentials nor $HOME/.aws/config" 32 "$URL" "$MNT"
		printf '[default]\naws_access_key_id = half\n' >"$HOME/.aws/credentials"
		m 'profile default has aws_access_key_id, but no aws_secret_access_key' 32 "$URL" "$MNT"
		AWS_SHARED_CREDENTIALS_FILE=$HOME/.aws m "cannot read $HOME/.aws: Is a directory" 32 "$URL" "$MNT"
		chmod 600 "$HOME/.aws/credentials" && chmod 755 "$(dirname "$WORK")" "$WORK"
		AWS_SHARED_CREDENTIALS_FILE=$HOME/.aws/credentials refused 'cannot read .*credentials as user 12345: Permission denied' 1 \
			as_user fuse /dev/levels3fs mkfs "$URL" -o "$so"
	) || exit 1
	unchanged "wrong keys"
}

bad_rights() {
	admin subuser create --uid=levels3 --subuser=levels3:reader$$ --access=read --key-type=s3 \
		--access-key=READER$$ --secret-key=reads-only >/dev/null || fail "cannot make a user who may only read"
	admin user create --uid=nobody$$ --display-name=nobody --access-key=NOBODY$$ --secret-key=no-rights >/dev/null ||
		fail "cannot make a user without rights"
	(
		export AWS_ACCESS_KEY_ID=READER$$ AWS_SECRET_ACCESS_KEY=reads-only
		m 'PUT super: HTTP 403 AccessDenied.*no right to do this .s3:PutObject.*option ro' 32 "$URL" "$MNT"
		[ "$(grep -c AccessDenied "$WORK/out")" = 1 ] || fail "it says so twice: $(cat "$WORK/out")"
		refused 'problem *may write.*s3:PutObject.*' 1 "$PROGRAM" doctor "$URL" -o "$(store_opts)"
		grep -q 'to read only: -o ro' "$WORK/out" || fail "doctor does not say what these keys are good for: $(cat "$WORK/out")"
		for verb in "destroy --yes" "gc --no-wait" "bench --count 1 --total 1M"; do
			refused 's3:PutObject' 1 "$PROGRAM" $verb "$URL" -o "$(store_opts)"
		done
		refused 'PUT super: HTTP 403 AccessDenied' 1 "$PROGRAM" mkfs "$BASE_URL/readers" -o "$(store_opts)"
		m 'PUT super: HTTP 403 AccessDenied' 32 "$BASE_URL/readers" "$MNT" create
		"$PROGRAM" mount "$URL" "$MNT" -o "$(store_opts),ro" || fail "keys that may read cannot mount read-only"
		find "$MNT" -type f -exec cat {} + >/dev/null || fail "keys that may read cannot read"
		! touch "$MNT/new" 2>/dev/null || fail "written with keys that may read"
		umount_fs
		"$PROGRAM" doctor "$URL" -o "$(store_opts),ro" >"$WORK/out" || fail "doctor of what is only read: $(cat "$WORK/out")"
		"$PROGRAM" fsck "$URL" -o "$(store_opts)" >/dev/null || fail "keys that may read cannot check"
		export AWS_ACCESS_KEY_ID=NOBODY$$ AWS_SECRET_ACCESS_KEY=no-rights
		m 'GET super: HTTP 403 AccessDenied.*no right' 32 "$URL" "$MNT" ro
	) || exit 1
	unchanged "keys without the right to write"
}

# A server that says the same to everything: answering STATUS BODY [HEADER VALUE]
answering() {
	coproc SERVER {
		exec python3 -c '
import http.server, sys, threading
class Same(http.server.BaseHTTPRequestHandler):
    def answer(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(int(sys.argv[1]))
        if len(sys.argv) > 4:
            self.send_header(sys.argv[3], sys.argv[4])
        self.send_header("content-length", str(len(sys.argv[2])))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(sys.argv[2].encode())
    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Same)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("http://127.0.0.1:%d" % server.server_address[1], flush=True)
sys.stdin.read()' "$@"
	}
	read -r endpoint <&"${SERVER[0]}" || fail "the server did not start"
}
no_more_answers() {
	eval "exec ${SERVER[1]}>&-"
	wait "$SERVER_PID"
}
at_endpoint() { # WORDS ENDPOINT [OPTIONS]
	refused "$1" 32 "$PROGRAM" mount "$URL" "$MNT" -o "cache_dir=none,path_style,retry=2,endpoint=$2${3:+,$3}"
}

bad_server() {
	local host=${LEVELS3_TEST_S3_ENDPOINT#http://}
	m 'NoSuchBucket.*no bucket no-such-bucket-here at.*make it first, or correct the name' 32 "s3://no-such-bucket-here/x" "$MNT"
	m 'NoSuchBucket' 32 "s3://no-such-bucket-here/x" "$MNT" create
	refused 'NoSuchBucket' 1 "$PROGRAM" mkfs "s3://no-such-bucket-here/x" -o "$(store_opts)"
	at_endpoint 'Failed to connect to 127.0.0.1 port 1' http://127.0.0.1:1
	at_endpoint 'check -o endpoint=URL, the network, and the proxy' http://127.0.0.1:1
	at_endpoint 'resolve host: no-such-host.invalid' http://no-such-host.invalid
	at_endpoint 'does the server speak TLS there' "https://$host"
	http_proxy=http://127.0.0.1:1 at_endpoint 'proxy variables' http://no-such-host.invalid
	refused 'clock|RequestTimeTooSkewed' 32 faketime -f '+2h' "$PROGRAM" mount "$URL" "$MNT" -o "$(store_opts)"
	grep -q "the time here is .*, the server's .*: set the clock" "$WORK/out" || fail "both clocks should be named: $(cat "$WORK/out")"
	refused 'set the clock' 1 faketime -f '-2h' "$PROGRAM" mkfs "$BASE_URL/skewed" -o "$(store_opts)"

	answering 404 '<html>not found</html>'
	at_endpoint "$endpoint does not answer as an S3 server does: see the option endpoint" "$endpoint"
	no_more_answers
	answering 400 '<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong</Message><Region>eu-central-1</Region></Error>'
	at_endpoint 'is in region eu-central-1, not us-west-9: use region=eu-central-1' "$endpoint" region=us-west-9
	no_more_answers
	answering 301 '<Error><Code>PermanentRedirect</Code></Error>' x-amz-bucket-region eu-central-1
	at_endpoint 'use region=eu-central-1' "$endpoint" region=us-west-9
	no_more_answers
	unchanged "a wrong server"
}

# A server without conditional writes is refused, for mkfs and for mounting; lease_only accepts it.
unconditional_server() {
	coproc PROXY { exec "$HERE/../unconditional" "$LEVELS3_TEST_S3_ENDPOINT"; }
	read -r proxy <&"${PROXY[0]}" || fail "the proxy did not start"
	refused 'ignores .*If-(None-)?Match.*two mounts could write' 32 "$PROGRAM" mount "$URL" "$MNT" -o "endpoint=$proxy,path_style,cache_dir=none"
	grep -q lease_only "$WORK/out" || fail "no hint at lease_only: $(cat "$WORK/out")"
	unchanged "a server without conditional writes"
	"$PROGRAM" mount "$URL" "$MNT" -o "endpoint=$proxy,path_style,cache_dir=none,lease_only,lease=4,renew=1" 2>"$WORK/out" || fail "lease_only: $(cat "$WORK/out")"
	echo guarded >"$MNT/by-time" && umount_fs
	eval "exec ${PROXY[1]}>&-"
}

mkfs
remember
bad_arguments
bad_urls
bad_options
bad_mountpoints
unchanged "wrong words or a bad mountpoint"
bad_mounted
bad_caches
foreign_prefix
empty_prefix
newer_formats
if [ "$STORE" = file ]; then
	bad_folder
	unchanged "a bad store folder"
else
	bad_keys
	bad_rights
	bad_server
	unconditional_server
fi
fsck_fs
