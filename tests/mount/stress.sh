# limit: 500
# stress-ng's filesystem stressors with --verify, several at a time on one mount: none finds fault, and none is
# turned away that ext4 serves; a tree that lies beside is untouched.
# LEVELS3_TEST_SECONDS=N   how long each group runs (default 1)
# In a mount namespace of its own: some stressors watch and touch all mounts that they see.
[ -n "${LEVELS3_TEST_INSIDE:-}" ] || LEVELS3_TEST_INSIDE=1 exec unshare -m bash "$0"
. "$HERE/lib.sh"
forget_other_mounts

seconds=${LEVELS3_TEST_SECONDS:-1}
together=8

# Of the class filesystem these never touch --temp-path; they are about other kernel interfaces.
elsewhere="bind-mount binderfs eventfd procfs"
# Not of that class, but they use files in --temp-path.
also="aio aiol chroot fault fifo io-uring landlock loop madvise mincore mmap mmapmany mremap msync msyncmany readahead
	remap revio rlimit rmap seek sendfile sigio splice swap tee vm-splice"
# What the kernel gives no FUSE filesystem, so that stress-ng skips these:
#   fiemap   FS_IOC_FIEMAP ends in the kernel, which asks FUSE nothing
#   swap     swapon(2) wants the blocks of a file on a block device
not_over_fuse="fiemap swap"

stress() { # stress DIR LOG STRESSOR...; STRESSOR-ops=N: until it has done that many
	local dir=$1 log=$2 name args=()
	shift 2
	for name in "$@"; do
		case $name in
		*=*) args+=("--${name%=*}" "${name#*=}" --timeout 60) ;;
		*) args+=("--$name" 1) ;;
		esac
	done
	timeout -k 10 120 stress-ng --temp-path "$dir" --verify --timeout "$seconds" "${args[@]}" --mmap-file --mmap-bytes 16M \
		--hdd-bytes 32M --iomix-bytes 32M --sync-file-bytes 32M --revio-bytes 32M \
		--readahead-bytes 4M --fallocate-bytes 32M --fiemap-bytes 16M >"$log" 2>&1
}
# complaints STRESSOR LOG: what that one found, or why it did nothing, without numbers
complaints() {
	grep -E "^stress-ng: (fail|error|warn|info): +\[[0-9]+\] (stress-ng-)?$1: |\($1\) (aborted|terminated)" "$2" |
		grep -E ' (fail|error): |skip|not supported|not implemented|aborted|terminated|expired during' |
		sed 's/\[[0-9]*\]//; s/[0-9]\+/N/g' | sort -u
}
native() { # once: a filesystem to compare with, ext4 where a loop device can be had
	[ -d "$WORK/native" ] && return
	mkdir "$WORK/native"
	truncate -s 2G "$WORK/ext4.img" && mkfs.ext4 -qF "$WORK/ext4.img" && mount -o loop "$WORK/ext4.img" "$WORK/native" &&
		at_exit 'umount "$WORK/native"'
}
# judge STRESSOR LOG: a complaint counts if ext4 gives no cause for the same
judge() {
	complaints "$1" "$2" >"$WORK/here"
	if grep -q 'expired during' "$WORK/here"; then # among so many it did not get to it: alone, however long it takes
		stress "$MNT/stress" "$WORK/alone.log" "$1" "$1-ops=50"
		complaints "$1" "$WORK/alone.log" >"$WORK/here"
		explained=1
	fi
	[ -s "$WORK/here" ] || return 0
	explained=1
	case " $not_over_fuse " in *" $1 "*)
		! grep -qE ' (fail|error): ' "$WORK/here" || fail "$1: $(cat "$WORK/here")"
		return ;;
	esac
	native
	stress "$WORK/native" "$WORK/native.log" "$1"
	complaints "$1" "$WORK/native.log" >"$WORK/there"
	[ -z "$(comm -23 "$WORK/here" "$WORK/there")" ] || fail "$1, and not on ext4: $(comm -23 "$WORK/here" "$WORK/there" | head -3)"
}

known=$(stress-ng --help 2>&1 | sed -n 's/^.* --\([a-z-]*\) N  *start N .*/\1/p' | tr '\n' ' ')
class=$(stress-ng --class 'filesystem?' 2>&1 | sed "s/^class 'filesystem' stressors: //")
names=()
for name in $class $also; do
	case " $elsewhere " in *" $name "*) continue ;; esac
	case " $known " in *" $name "*) names+=("$name") ;; esac
done
[ ${#names[@]} -ge 60 ] || fail "only ${#names[@]} stressors: ${names[*]}"

mkfs
mount_fs
mkdir "$MNT/stress" "$MNT/beside"
cp -a "$HERE/.." "$WORK/beside" && cp -a "$WORK/beside/." "$MNT/beside/" || fail "copying what lies beside"
for ((i = 0; i < ${#names[@]}; i += together)); do
	group=("${names[@]:i:together}")
	log=$WORK/group.$i
	stress "$MNT/stress" "$log" "${group[@]}"
	status=$?
	explained=
	for name in "${group[@]}"; do judge "$name" "$log"; done
	[ $status = 0 ] || [ -n "$explained" ] ||
		fail "exit status $status of ${group[*]}: $(grep -vE ' (info|metrc): ' "$log" | head -5)"
	# Stopped while its file is immutable or append-only, the chattr stressor cannot remove it, here as on ext4.
	for left in "$MNT"/stress/*chattr*; do
		[ ! -e "$left" ] || { chattr -R -ia "$left" && rm -r "$left"; } || fail "chattr left what cannot be removed: $left"
	done
	[ -z "$(ls -A "$MNT/stress")" ] || fail "${group[*]} left: $(find "$MNT/stress" | head -3)"
done
rmdir "$MNT/stress" || fail "the folder of the stressors cannot be removed"
same_tree "$WORK/beside" "$MNT/beside"
remount_cold
same_tree "$WORK/beside" "$MNT/beside"
umount_fs
fsck_fs
