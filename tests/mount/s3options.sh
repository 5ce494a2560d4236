# limit: 200
# What options say of the objects written, as a real server keeps it: encrypted with a key of one's own (SSE-C), tagged, with
# a storage class and an ACL; public objects are read without keys; a server's refusals are told.
[ "$STORE" = s3 ] || exit 0 # a folder has none of this
. "$HERE/lib.sh"

bucket=${BASE_URL#s3://} prefix=${BASE_URL#s3://*/}
bucket=${bucket%%/*}
signed() { # PATH-AND-QUERY FILE-TO-SEND CURL-OPTIONS...
	local path=$1 hash
	hash=$(sha256sum <"$2" | cut -d ' ' -f 1)
	shift 2
	curl -s --noproxy '*' --max-time 60 --aws-sigv4 "aws:amz:$AWS_REGION:s3" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
		-H "x-amz-content-sha256: $hash" "$LEVELS3_TEST_S3_ENDPOINT/$bucket$path" "$@"
}

(umask 077 && head -c 32 /dev/urandom >"$WORK/key" && head -c 32 /dev/urandom | base64 >"$WORK/other")
written=sse_c_key_file=$WORK/key,storage_class=STANDARD,acl=bucket-owner-full-control,tags='project=x&cost%20centre=4%2F2'

"$PROGRAM" mkfs "$URL" -o "$(store_opts),$written" || fail "mkfs"
mount_fs "$written"
head -c 3000000 /dev/urandom >"$WORK/bytes"
cp "$WORK/bytes" "$MNT/bytes" && mkdir "$MNT/folder" && cp --reflink=auto "$MNT/bytes" "$MNT/folder/copy" && umount_fs || fail "cannot be written"
rm -rf "$CACHE"
mount_fs "$written"
cmp "$WORK/bytes" "$MNT/bytes" && cmp "$WORK/bytes" "$MNT/folder/copy" || fail "other bytes are read than were written"
umount_fs
fsck_fs -o "$written"

# What the server has: encrypted, so that it gives nothing without the key, and tagged.
status=$(signed "/$prefix/fs/super" /dev/null -o "$WORK/said" -w '%{http_code}')
[ "$status" = 400 ] || fail "the server gives an object away without its key: $status"
signed "/$prefix/fs/super?tagging=" /dev/null >"$WORK/tags"
grep -q '<Key>project</Key><Value>x</Value>' "$WORK/tags" && grep -q '<Key>cost centre</Key><Value>4/2</Value>' "$WORK/tags" ||
	fail "the tags are others: $(cat "$WORK/tags")"
for key in "" ",sse_c_key_file=$WORK/other"; do
	rm -rf "$CACHE"
	! "$PROGRAM" mount "$URL" "$MNT" -o "$(store_opts),retry=2$key" 2>"$WORK/said" || fail "mounted without the key (\"$key\")"
	! grep -qF "$(base64 <"$WORK/key")" "$WORK/said" || fail "the key was printed"
done

# Public, and read by who has no keys; who has none writes nothing.
URL=$BASE_URL/public
"$PROGRAM" mkfs "$URL" -o "$(store_opts),acl=public-read" || fail "mkfs"
mount_fs acl=public-read
cp "$WORK/bytes" "$MNT/bytes" && umount_fs || fail "cannot be written"
python3 - "$bucket" "$prefix" >"$WORK/policy" <<'PY'
import json, sys
print(json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*",
      "Action": ["s3:ListBucket", "s3:GetObject"],
      "Resource": ["arn:aws:s3:::" + sys.argv[1], "arn:aws:s3:::%s/%s/public/*" % tuple(sys.argv[1:])]}]}))
PY
signed "?policy=" "$WORK/policy" -f -T "$WORK/policy" || fail "the bucket takes no policy"
(
	unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
	rm -rf "$CACHE"
	mount_fs anonymous
	cmp "$WORK/bytes" "$MNT/bytes" || fail "other bytes are read without keys"
	! touch "$MNT/new" 2>/dev/null || fail "written without keys"
	umount_fs
	! "$PROGRAM" mount "$BASE_URL/fs" "$MNT" -o "$(store_opts),anonymous,retry=2" 2>"$WORK/said" || fail "what is not public was mounted"
	grep -q 'AccessDenied.*option anonymous' "$WORK/said" || fail "not said: $(cat "$WORK/said")"
) || exit 1
URL=$BASE_URL/fs
fsck_fs -o "$written"
