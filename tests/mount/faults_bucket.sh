# limit: 240
# alone
# The keys are revoked, given back, replaced by others; the bucket is full, and has room again: whoever writes waits,
# and goes on by itself.
. "$HERE/lib.sh"
. "$HERE/faults_lib.sh"
need_rgw
at_exit '"$HERE/../rgw" restore-keys "$LEVELS3_TEST_RGW_DIR"; "$HERE/../rgw" set-quota "$LEVELS3_TEST_RGW_DIR" none'

# Keys from a file, as people have who replace them.
write_keys() {
	umask 077
	printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" >"$WORK/keys.new"
	mv "$WORK/keys.new" "$WORK/keys"
	umask 022
}
write_keys
levels3fs() { env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY AWS_SHARED_CREDENTIALS_FILE="$WORK/keys" "$PROGRAM_FILE" "$@"; }
PROGRAM_FILE=$PROGRAM PROGRAM=levels3fs

# stuck: a write and its fsync wait, what is cached is read, and the log says why.
stuck() {
	echo "$1" >"$MNT/waits" || fail "$1: writing failed"
	sync "$MNT/waits" &
	waiting=$!
	await_reads
	sleep 6
	kill -0 $waiting 2>/dev/null || fail "$1: an fsync returned"
	await_reads
	levels3fs status "$MNT" | grep "last trouble.*$2" || fail "$1: status says $(levels3fs status "$MNT" | grep 'last trouble')"
}
goes_on() {
	wait $waiting || fail "$1: the fsync that waited failed"
	await_writes
}

mkfs
mount_fs "$FAULT_OPTIONS"
start_reader
start_witness steady

rgw revoke-keys
stuck "revoked" "403"
rgw restore-keys
goes_on "restored"

rgw renew-keys >"$WORK/renewed"
stuck "replaced" "InvalidAccessKeyId"
. "$WORK/renewed"
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
write_keys
goes_on "the new ones in the file"

rgw set-quota 1000
stuck "full" "QuotaExceeded"
rgw set-quota none
goes_on "room again"

stop_witness
check_witness
stop_reader
umount_fs
fsck_fs
