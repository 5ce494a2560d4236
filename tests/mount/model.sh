# Random steps on the mount and on a native filesystem side by side: every result, errno, byte and attribute
# must be the same, with remounts in between (plain, without the cache, after kill -9 with everything fsynced).
# limit: 900
#
#	LEVELS3_MODEL_STEPS=1000000 LEVELS3_TEST_LIMIT=20 tests/mount/run --program … --store file model
#
# runs longer (LEVELS3_MODEL_SEED=N: other steps; LEVELS3_MODEL_OPTIONS=…: with mount options). A difference is shrunk
# to a short list of steps, printed at the end of the log; to try it again, put the list into a file and give it with
# LEVELS3_MODEL_REPLAY=FILE. What may differ says tests/model/compare.c.
. "$HERE/lib.sh"

options=${LEVELS3_MODEL_OPTIONS:-}

# Called back by fsmodel: model.sh remount plain|cold|kill
if [ "${1:-}" = remount ]; then
	trap - EXIT
	case $2 in
	plain) umount_fs && mount_fs "$options" ;;
	cold) remount_cold "$options" ;;
	kill) kill_fs && mount_fs "$options" ;;
	*) fail "remount $2" ;;
	esac
	exit
fi

fsmodel=$(dirname "$PROGRAM")/tests/model/fsmodel
[ -x "$fsmodel" ] || fail "no $fsmodel: make tests/model/fsmodel (make check does)"

# ext4 in a file of its own, with room for large extended attributes; where there are no loop devices (in a
# container), the filesystem that we are on.
native=$WORK/native
mkdir -p "$native"
truncate -s 16G "$WORK/image"
# The order of its listings is the same in every run, for what goes wrong there to come back.
mkfs.ext4 -q -F -O ea_inode -E lazy_itable_init=1,lazy_journal_init=1,hash_seed=5bd1e995-9e37-4b97-8f4a-7c159e3779b9 \
	-N 500000 "$WORK/image" || fail "mkfs.ext4"
at_exit umount "$native"
if ! mount -o loop "$WORK/image" "$native"; then
	[ "$(stat -f -c %T "$native")" = ext2/ext3 ] || fail "no loop device, and $native is no ext4"
fi

mkfs
mount_fs "$options"
for list in "$HERE"/../model/found/*; do
	"$fsmodel" --ours "$MNT" --native "$native" --replay "$list" --shrink 0 || fail "$list is back"
done
steps=${LEVELS3_MODEL_STEPS:-16000}
if [ -n "${LEVELS3_MODEL_REPLAY:-}" ]; then
	set -- --replay "$LEVELS3_MODEL_REPLAY"
else
	set -- --steps "$steps" --seed "${LEVELS3_MODEL_SEED:-1}" --episode 8000 --remount-every 2000 --check 1000
fi
start=$SECONDS
"$fsmodel" --ours "$MNT" --native "$native" --remount "bash $HERE/model.sh remount" "$@" || fail "the two sides differ"
echo "FIGURE model: $steps steps with remounts in $((SECONDS - start)) s"
umount_fs
fsck_fs --data
