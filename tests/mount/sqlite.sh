# limit: 300
# SQLite under concurrent readers and writers, in all journal modes; every acknowledged commit survives kill -9.
# LEVELS3_TEST_SECONDS=N   how long each load runs (default 3)
. "$HERE/lib.sh"

seconds=${LEVELS3_TEST_SECONDS:-3}
modes="delete truncate persist wal"

worker() { # worker DB ID SECONDS LOG MODE: inserts, logs each commit that SQLite acknowledged
	python3 - "$@" <<'PY'
import os, sqlite3, sys, time
db, me, seconds, log = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
mode = sys.argv[5]
c = sqlite3.connect(db, timeout=60, isolation_level=None)
if c.execute("PRAGMA journal_mode=" + mode).fetchone()[0] != mode:
    sys.exit("journal_mode=" + mode)
# What makes a commit durable: with FULL, a journal that was removed to commit may be back after a crash, on any
# filesystem, for SQLite does not sync its folder; EXTRA does.
c.execute("PRAGMA synchronous=" + ("EXTRA" if mode == "delete" else "FULL"))
end, n = time.time() + seconds, 0
with open(log, "a", buffering=1) as out:
    while time.time() < end:
        try:
            c.execute("BEGIN IMMEDIATE")
            c.execute("INSERT INTO t(worker, n, filler) VALUES(?, ?, hex(randomblob(200)))", (me, n))
            c.execute("COMMIT")
            # SQLite takes a folder that it cannot open for synced (unixDelete), and so a filesystem that died just then
            # for a good one, whatever filesystem it is. A power cut would have ended the program, too: what it says
            # after that counts for nothing.
            os.statvfs(db)
        except (sqlite3.Error, OSError):
            sys.exit(3)
        out.write("%d %d\n" % (me, n))
        n += 1
PY
}
reader() { # reader DB SECONDS: what it sees is always whole
	python3 - "$@" <<'PY'
import sqlite3, sys, time
c = sqlite3.connect(sys.argv[1], timeout=60)
end = time.time() + float(sys.argv[2])
while time.time() < end:
    for worker, count, top in c.execute("SELECT worker, count(*), max(n) FROM t GROUP BY worker"):
        if count != top + 1:
            sys.exit("reader saw a hole: worker %d has %d rows up to %d" % (worker, count, top))
PY
}
verify() { # verify DB LOG...
	local db=$1
	shift
	[ "$(sqlite3 "$db" 'PRAGMA integrity_check')" = ok ] || fail "integrity_check of $db"
	cat "$@" | sort -u >"$WORK/acknowledged"
	[ -s "$WORK/acknowledged" ] || fail "nothing was committed"
	sqlite3 -separator ' ' "$db" 'SELECT worker, n FROM t' | sort -u >"$WORK/present"
	[ -z "$(comm -23 "$WORK/acknowledged" "$WORK/present")" ] || fail "acknowledged rows are missing: $(comm -23 "$WORK/acknowledged" "$WORK/present" | head -3)"
}

mkfs
mount_fs
for mode in $modes; do
	db=$MNT/$mode.db
	[ "$(sqlite3 "$db" "PRAGMA journal_mode=$mode; CREATE TABLE t(worker, n, filler); CREATE INDEX i ON t(worker, n);")" = $mode ] || fail "journal_mode=$mode"
	pids=
	for id in 1 2 3; do
		worker "$db" $id "$seconds" "$WORK/$mode.$id" $mode &
		pids="$pids $!"
	done
	reader "$db" "$seconds" &
	pids="$pids $!"
	for p in $pids; do wait "$p" || fail "a worker of $mode failed ($?)"; done
	verify "$db" "$WORK/$mode".?
done
remount_cold
for mode in $modes; do verify "$MNT/$mode.db" "$WORK/$mode".?; done

for mode in $modes; do
	pids=
	for id in 4 5; do
		worker "$MNT/$mode.db" $id 300 "$WORK/$mode.$id" $mode 2>/dev/null &
		pids="$pids $!"
	done
	until [ -s "$WORK/$mode.4" ] && [ -s "$WORK/$mode.5" ]; do sleep 0.1; done
	sleep "$seconds"
	[ $mode != wal ] || [ -e "$MNT/wal.db-shm" ] || fail "no shared memory beside the WAL"
	kill_fs
	wait $pids
	rm -rf "$CACHE"
	mount_fs
	verify "$MNT/$mode.db" "$WORK/$mode".?
done
umount_fs
fsck_fs
