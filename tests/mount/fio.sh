# limit: 400
# fio with verification: sequential and random, several jobs, buffered, direct, mmap; verified again cold.
. "$HERE/lib.sh"

run_fio() { # run_fio NAME OPTIONS...: writes and verifies; the same job then verifies after the remount
	local name=$1
	shift
	jobs+=("$name|$*")
	mkdir -p "$MNT/$name"
	(cd "$WORK" && fio --name="$name" --directory="$MNT/$name" --verify=xxhash --verify_fatal=1 --do_verify=1 \
		--randseed=7 --output="$WORK/$name.fio" "$@") || fail "fio $name: $(tail -5 "$WORK/$name.fio")"
}

jobs=()
mkfs
mount_fs
run_fio seq --rw=write --bs=1M --size=256M --end_fsync=1
run_fio random --rw=randwrite --bs=4k --size=32M --numjobs=2 --end_fsync=1
run_fio mixed --rw=randwrite --bsrange=512-64k --bs_unaligned=1 --size=32M --fsync=64
run_fio mmap --rw=randwrite --bs=4k --size=32M --ioengine=mmap --fsync=256
run_fio direct --rw=randwrite --bs=4k --size=16M --direct=1
run_fio aio --ioengine=libaio --iodepth=8 --rw=randwrite --bs=16k --size=8M --numjobs=4 --direct=1 --verify=crc32c --fallocate=posix
run_fio psync --ioengine=psync --rw=randwrite --bs=2k --size=4M --numjobs=4 --verify=crc32c --fallocate=keep --end_fsync=1
again=("${jobs[@]}") # what can be verified without the record of what was written in which order
run_fio readwrite --ioengine=libaio --iodepth=4 --rw=randrw --rwmixread=40 --bsrange=4k-64k --size=8M --numjobs=4
run_fio mapped --ioengine=mmap --rw=randrw --bs=8k --size=4M --numjobs=4 --verify=crc32c --fallocate=none
jobs=("${again[@]}")
remount_cold
for j in "${jobs[@]}"; do
	name=${j%%|*}
	(cd "$WORK" && fio --name="$name" --directory="$MNT/$name" --verify=xxhash --verify_fatal=1 --verify_only \
		--randseed=7 --output="$WORK/$name.again" ${j#*|}) || fail "fio $name after remount: $(tail -5 "$WORK/$name.again")"
done

# kill -9 in the middle of writing; what was synced before verifies.
start_witness
fio --name=killed --directory="$MNT" --rw=randwrite --bs=4k --size=64M --fsync=16 --time_based --runtime=60 >/dev/null 2>&1 &
pid=$!
sleep 3
kill_fs
kill "$pid" 2>/dev/null
wait $pid 2>/dev/null
rm -rf "$CACHE"
mount_fs
check_witness
for j in "${jobs[@]}"; do
	name=${j%%|*}
	(cd "$WORK" && fio --name="$name" --directory="$MNT/$name" --verify=xxhash --verify_fatal=1 --verify_only \
		--randseed=7 --output="$WORK/$name.again" ${j#*|}) || fail "fio $name after the crash: $(tail -5 "$WORK/$name.again")"
done
umount_fs
fsck_fs
