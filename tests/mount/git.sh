# limit: 300
# git: clone of a repository with hundreds of commits, checkout, gc, fsck; kill -9 while committing.
. "$HERE/lib.sh"
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b

python3 - >"$WORK/history" <<'PY'
import random
rnd = random.Random(2)
out = []
for i in range(1, 401):
    out.append(f"commit refs/heads/main\nmark :{i}\ncommitter a <a@b> {1700000000 + i} +0000\ndata 7\nchange\n")
    for _ in range(rnd.randrange(1, 12)):
        text = "".join("line %d %d\n" % (i, rnd.randrange(10 ** 6)) for _ in range(rnd.randrange(1, 200)))
        out.append(f"M 100644 inline dir{rnd.randrange(20)}/file{rnd.randrange(60)}.txt\ndata {len(text)}\n{text}\n")
print("".join(out))
PY
git init -q -b main "$WORK/origin" && git -C "$WORK/origin" fast-import --quiet <"$WORK/history" || fail "fast-import"
git -C "$WORK/origin" checkout -q main

mkfs
mount_fs
check clone git clone -q "file://$WORK/origin" "$MNT/clone"
check fsck git -C "$MNT/clone" fsck --full --strict
check checkout git -C "$MNT/clone" checkout -q HEAD~200
check back git -C "$MNT/clone" checkout -q main
for i in $(seq 20); do
	echo "$i" >"$MNT/clone/new$i"
	git -C "$MNT/clone" add . && git -C "$MNT/clone" commit -q -m "commit $i" || fail "commit $i"
done
check gc git -C "$MNT/clone" gc -q --prune=now
# Commits in a worktree and packing in the clone, at the same time.
check "worktree" git -C "$MNT/clone" worktree add -q -b side "$MNT/side" HEAD~50
(
	while [ ! -e "$WORK/committed" ]; do
		git -C "$MNT/clone" gc -q || exit 1
	done
) &
packing=$!
# git makes the folder for an object anew, once, when gc has just removed it as empty; gc may do so twice, natively as well.
commit_side() {
	for _ in 1 2 3 4 5; do
		{ git -C "$MNT/side" add . && git -C "$MNT/side" commit -q -m "$1"; } 2>"$WORK/commit.err" && return
		grep -q 'unable to create temporary file: No such file or directory' "$WORK/commit.err" || break
	done
	fail "$1, while packing: $(cat "$WORK/commit.err")"
}
for i in $(seq 20); do
	seq "$i" $((i + 500)) >"$MNT/side/packed$((i % 5))"
	commit_side "side $i"
done
touch "$WORK/committed"
wait $packing || fail "git gc while committing"
check "merge" git -C "$MNT/clone" merge -q -m merged side
[ "$(git -C "$MNT/clone" log --oneline HEAD~50..side | grep -c ' side ')" = 20 ] || fail "commits of the worktree are missing"
check "remove the worktree" git -C "$MNT/clone" worktree remove "$MNT/side"
check "fsck after packing" git -C "$MNT/clone" fsck --full --strict
describe_tree "$MNT/clone" >"$WORK/before"
remount_cold
describe_tree "$MNT/clone" >"$WORK/after"
cmp "$WORK/before" "$WORK/after" || fail "the clone changed over the remount: $(diff "$WORK/before" "$WORK/after" | head -5)"
check "fsck after remount" git -C "$MNT/clone" fsck --full --strict
[ -z "$(git -C "$MNT/clone" status --porcelain)" ] || fail "work tree not clean"

echo start >"$MNT/clone/crash"
git -C "$MNT/clone" add crash

# kill -9 while committing with fsync: every commit that git reported is there.
git -C "$MNT/clone" config core.fsync all
git -C "$MNT/clone" config core.fsyncMethod fsync
git -C "$MNT/clone" config gc.auto 0
start_witness
(
	i=0
	while echo $i >"$MNT/clone/crash" 2>/dev/null && git -C "$MNT/clone" commit -qam "crash $i" 2>/dev/null; do
		git -C "$MNT/clone" rev-parse HEAD >>"$WORK/acknowledged" 2>/dev/null
		i=$((i + 1))
	done
) &
loop=$!
sleep 4
kill_fs
wait $loop
[ -s "$WORK/acknowledged" ] || fail "no commit was made before the kill"
rm -rf "$CACHE"
mount_fs
check_witness
rm -f "$MNT/clone/.git/index.lock" "$MNT/clone/.git/HEAD.lock" "$MNT/clone/.git/refs/heads/main.lock"
# git does not sync the folder after it renamed a reference into place, so that of the last commit may be
# missing, as on any filesystem; the next commit's fsync has made the one before it durable.
before_last=$(grep -E '^[0-9a-f]{40}$' "$WORK/acknowledged" | tail -2 | head -1)
check "last acknowledged commit but one" git -C "$MNT/clone" cat-file -e "$before_last^{tree}"
check "it is in the history" git -C "$MNT/clone" merge-base --is-ancestor "$before_last" HEAD
check "fsck after the crash" git -C "$MNT/clone" fsck --full
umount_fs
fsck_fs
