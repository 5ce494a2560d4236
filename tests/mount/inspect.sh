# info, summary and warmup: what a mount's process says of files in it, and fetches for them.
. "$(dirname "$0")/lib.sh"

# is COMMAND... EXPRESSION: of its JSON, as `r`
is() {
	local expression=${!#}
	"${@:1:$#-1}" >"$WORK/json" || fail "exit status $? of ${*:1:$#-1}"
	python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); sys.exit(0 if eval(sys.argv[2]) else 1)' \
		"$WORK/json" "$expression" || fail "$expression: $(head -c 1500 "$WORK/json")"
}

# refused STATUS WORDS COMMAND...
refused() {
	local want=$1 words=$2 got
	shift 2
	timeout 100 "$@" >"$WORK/out" 2>&1
	got=$?
	[ $got = "$want" ] && grep -q -- "$words" "$WORK/out" || fail "status $got, and no \"$words\" from $*: $(cat "$WORK/out")"
}

mkfs
mount_fs commit=3600
mkdir -p "$MNT/tree/a/b" "$MNT/tree/c"
head -c 3000000 /dev/urandom >"$MNT/tree/noise"
head -c 2000000 /dev/zero | tr '\0' x >"$MNT/tree/a/text"
ln "$MNT/tree/a/text" "$MNT/tree/c/same"
ln -s ../noise "$MNT/tree/a/link"
mkfifo "$MNT/tree/c/pipe"
echo tiny >"$MNT/tree/a/b/tiny"
truncate -s 5000000 "$MNT/tree/hole"
for n in $(seq 300); do : >"$MNT/tree/c/empty$n"; done

# ---- info, before and after it is stored
is "$PROGRAM" info "$MNT/tree/noise" --json 'r["size"] == 3000000 and r["unsaved_bytes"] == 3000000 and r["objects"] == []'
sync "$MNT" || fail "sync"
is "$PROGRAM" info "$MNT/tree/noise" --json "r['inode'] == $(stat -c %i "$MNT/tree/noise") and r['size'] == 3000000 and r['unsaved_bytes'] == 0"
is "$PROGRAM" info "$MNT/tree/noise" --json 'sum(o["bytes"] for o in r["objects"]) == 3000000 and all(o["key"].startswith("data/") for o in r["objects"])'
is "$PROGRAM" info "$MNT/tree/noise" --json 'sum(o["compressed_extents"] for o in r["objects"]) == 0 and r["extents"] == sum(o["extents"] for o in r["objects"])'
is "$PROGRAM" info "$MNT/tree/a/text" --json 'r["stored_bytes"] < 100000 and r["links"] == 2 and all(o["compressed_extents"] == o["extents"] for o in r["objects"])'
is "$PROGRAM" info "$MNT/tree/a/b/tiny" --json 'r["inline_bytes"] == 5 and r["objects"] == []'
is "$PROGRAM" info "$MNT/tree/hole" --json 'r["size"] == 5000000 and r["extents"] == 0 and r["allocated_bytes"] == 0'
is "$PROGRAM" info "$MNT" --json 'r["inode"] == 1'
"$PROGRAM" info "$MNT/tree/noise" >"$WORK/out" && grep -q 'data/.*extents' "$WORK/out" || fail "info says $(cat "$WORK/out")"
# every object that it names is one
if [ "$STORE" = file ]; then
	umount_fs
	mount_fs commit=3600
	for key in $("$PROGRAM" info "$MNT/tree/noise" --json | grep -o 'data/[0-9-]*'); do
		[ -e "${URL#file://}/$key" ] || fail "there is no object $key"
	done
fi

# ---- summary, as du and find have it
is "$PROGRAM" summary "$MNT/tree" --json "r['files'] == 304 and r['folders'] == 4 and r['links'] == 1 and r['others'] == 1"
is "$PROGRAM" summary "$MNT/tree" --json "r['names'] == $(find "$MNT/tree" | wc -l)"
is "$PROGRAM" summary "$MNT/tree" --json 'r["size_bytes"] == 10000005'
is "$PROGRAM" summary "$MNT/tree" --json "r['allocated_bytes'] == $(du -s --block-size=1 "$MNT/tree" | cut -f1)"
is "$PROGRAM" summary "$MNT/tree/noise" --json 'r["files"] == 1 and r["names"] == 1'
(cd "$MNT/tree" && "$PROGRAM" summary . | grep -q '304 files, 4 folders') || fail "summary of the folder that one is in"

# ---- warmup: all that is read afterwards comes from the cache
umount_fs
rm -rf "$CACHE"
mount_fs commit=3600
is "$PROGRAM" info "$MNT/tree/noise" --json 'r["cached_bytes"] < r["stored_bytes"]'
is "$PROGRAM" warmup "$MNT/tree" --json 'r["files"] == 304 and r["fetched_bytes"] >= 3000000 and r["full"] is False'
is "$PROGRAM" info "$MNT/tree/noise" --json 'r["cached_bytes"] == r["stored_bytes"] > 0'
before=$(status_value requests.bytes_in)
cat "$MNT/tree/noise" "$MNT/tree/a/text" | md5sum >"$WORK/sum" || fail "read"
[ "$(status_value requests.bytes_in)" -lt $((before + 200000)) ] || fail "after warming up $(($(status_value requests.bytes_in) - before)) bytes were fetched"
is "$PROGRAM" warmup "$MNT/tree" --json 'r["files"] == 304 and r["fetched_bytes"] == 0 and r["held_bytes"] >= 3000000'
"$PROGRAM" warmup "$MNT/tree/noise" "$MNT/tree/a" >"$WORK/out" || fail "warmup of two"
[ "$(wc -l <"$WORK/out")" = 2 ] || fail "warmup of two says $(cat "$WORK/out")"

# ---- bounded by the cache, which says so
umount_fs
rm -rf "$CACHE"
mount_fs commit=3600,cache_dir=none,mem_limit=64M
head -c 40000000 /dev/urandom >"$MNT/large" && sync "$MNT" || fail "write"
umount_fs
mount_fs commit=3600,cache_dir=none,mem_limit=64M
refused 2 'the cache holds no more' "$PROGRAM" warmup "$MNT/large"
umount_fs

# ---- what is wrong
mount_fs
refused 1 'is in no levels3fs' "$PROGRAM" info "$WORK"
refused 1 'is in no levels3fs' "$PROGRAM" warmup /proc/version
refused 1 'No such file' "$PROGRAM" summary "$MNT/nothing"
refused 1 'did you mean "--json"' "$PROGRAM" info "$MNT" --jason
refused 1 'needs a path' "$PROGRAM" warmup

# ---- gc: what goes out of use goes from the store, after its grace
umount_fs
mount_fs commit=3600,grace=2
head -c 5000000 /dev/urandom >"$MNT/noise2" && sync "$MNT" && rm "$MNT/noise2" || fail "write"
is "$PROGRAM" gc "$MNT" --dry-run --json 'r["dry_run"] and r["found_bytes"] >= 5000000 and r["waiting_objects"] == 0'
is "$PROGRAM" gc "$MNT" --json 'r["found_bytes"] >= 5000000 and r["deleted_objects"] == 0 and r["waiting_objects"] == r["found_objects"] and 0 < r["waiting_ms"] <= 2001'
is "$PROGRAM" gc "$MNT" --wait --json 'r["deleted_bytes"] >= 5000000 and r["waiting_objects"] == 0'
"$PROGRAM" gc "$MNT" | grep -q 'nothing is left over' || fail "gc of what is collected"
refused 1 'is mounted on' "$PROGRAM" gc "$WORK/nothing"
if [ "$STORE" = file ]; then
	# what a crash left behind, once it is old enough; unmounted
	umount_fs
	head -c 3000 /dev/urandom >"${URL#file://}/data/0000000001-0000009999"
	is "$PROGRAM" gc "$URL" -o grace=1 --json 'r["found_objects"] == 0'
	touch -d '2 hours ago' "${URL#file://}/data/0000000001-0000009999"
	is "$PROGRAM" gc "$URL" --dry-run --json 'r["found_objects"] == 1 and r["found_bytes"] == 3000'
	is "$PROGRAM" gc "$URL" -o grace=1 --no-wait --json 'r["waiting_objects"] == 1'
	is "$PROGRAM" gc "$URL" -o grace=1 --json 'r["deleted_objects"] == 1 and r["deleted_bytes"] == 3000 and r["waiting_objects"] == 0'
	[ ! -e "${URL#file://}/data/0000000001-0000009999" ] || fail "gc left it"
	refused 1 'mkfs' "$PROGRAM" gc "$URL-mistyped"
	mount_fs commit=3600
fi

# ---- unmounting does not wait for those who ask, nor for a grace
umount_fs
mount_fs commit=3600
head -c 5000000 /dev/urandom >"$MNT/noise3" && sync "$MNT" && rm "$MNT/noise3" || fail "write"
"$PROGRAM" gc "$MNT" --wait >/dev/null 2>&1 &
until "$PROGRAM" gc "$MNT" --dry-run --json | grep -q '"waiting_objects": [1-9]'; do kill -0 $! || fail "gc did not wait"; done
for n in $(seq 8); do "$PROGRAM" summary "$MNT" >/dev/null 2>&1 & done
umount_fs
wait
fsck_fs
