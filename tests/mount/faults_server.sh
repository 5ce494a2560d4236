# limit: 240
# alone
# The server dies, comes back, stands still for longer than every time-out: work goes on by itself, cached reads never
# stop, whoever waits can be killed, and what was acknowledged in between is there.
. "$HERE/lib.sh"
. "$HERE/faults_lib.sh"
need_rgw
at_exit '"$HERE/../rgw" resume-gateway "$LEVELS3_TEST_RGW_DIR" 2>/dev/null || "$HERE/../rgw" restart-gateway "$LEVELS3_TEST_RGW_DIR"'

mkfs
mount_fs "$FAULT_OPTIONS"
start_reader
start_witness steady

# Killed, and away for longer than lease and time-outs.
await_writes
rgw kill-gateway
await_reads
dd if=/dev/urandom of="$MNT/big" bs=1M count=150 2>"$WORK/dd" &
writing=$!
sleep 6
await_reads
kill -0 $writing 2>/dev/null || fail "150 MiB fit into 64 MiB of memory: $(cat "$WORK/dd")"
"$PROGRAM" status "$MNT" | grep -q 'last trouble' || fail "status does not tell of the trouble"
rgw restart-gateway
wait $writing || fail "the writer met an error: $(cat "$WORK/dd")"
await_writes

# Standing still: connections stay, and nothing comes. More wait than the daemon has threads for the kernel's requests.
for i in $(seq 180); do echo "$i" >"$MNT/waits$i"; done
rgw pause-gateway
sleep 1
waiters=
for i in $(seq 180); do
	sync "$MNT/waits$i" &
	waiters="$waiters $!"
done
await_reads
for signal in KILL INT TERM; do
	echo more >"$MNT/$signal" || fail "writing"
	env --default-signal=INT sync "$MNT/$signal" & # bash has its jobs ignore that
	waiting=$!
	disown $waiting
	sleep 0.5
	dies $waiting "sync" $signal
done
sleep 6
await_reads
rgw resume-gateway
await_writes
for w in $waiters; do wait "$w" || fail "an fsync failed"; done

stop_witness
check_witness
stop_reader
[ "$(stat -c %s "$MNT/big")" = $((150 << 20)) ] || fail "the big file is not whole"
umount_fs
fsck_fs

# The daemon is killed while nothing goes: what it acknowledged before is there.
mount_fs "$FAULT_OPTIONS"
start_witness
await_writes
rgw pause-gateway
sleep 2
kill_fs
rgw resume-gateway
mount_fs "$FAULT_OPTIONS"
check_witness

# Unmounting waits for the server; told to give up, it says what is not stored.
head -c 5M /dev/urandom >"$MNT/unsent"
rgw kill-gateway
"$PROGRAM" umount "$MNT" 2>"$WORK/waiting" &
unmounting=$!
sleep 3
kill -0 $unmounting 2>/dev/null || fail "umount gave up by itself: $(cat "$WORK/waiting")"
"$PROGRAM" umount --force "$MNT" 2>"$WORK/forced" && fail "umount --force says that all is stored"
wait $unmounting && fail "umount says that all is stored"
for said in waiting forced; do
	grep -Eq 'given up: [0-9.]+ [KM]i?B .*not stored' "$WORK/$said" || fail "what is lost is not said: $(cat "$WORK/$said")"
done
rgw restart-gateway
mount_fs "$FAULT_OPTIONS"
umount_fs
fsck_fs
