# limit: 300
# SQLite under concurrent readers and writers, in both journal modes; every acknowledged commit survives kill -9.
. "$HERE/lib.sh"

worker() { # worker DB ID SECONDS LOG: inserts, logs each commit that SQLite acknowledged
	python3 - "$@" <<'PY'
import sqlite3, sys, time
db, me, seconds, log = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
c = sqlite3.connect(db, timeout=60, isolation_level=None)
c.execute("PRAGMA synchronous=EXTRA")
end, n = time.time() + seconds, 0
with open(log, "a", buffering=1) as out:
    while time.time() < end:
        try:
            c.execute("BEGIN IMMEDIATE")
            c.execute("INSERT INTO t(worker, n, filler) VALUES(?, ?, hex(randomblob(200)))", (me, n))
            c.execute("COMMIT")
        except sqlite3.Error:
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
for mode in delete wal; do
	db=$MNT/$mode.db
	[ "$(sqlite3 "$db" "PRAGMA journal_mode=$mode; CREATE TABLE t(worker, n, filler); CREATE INDEX i ON t(worker, n);")" = $mode ] || fail "journal_mode=$mode"
	pids=
	for id in 1 2 3; do
		worker "$db" $id 5 "$WORK/$mode.$id" &
		pids="$pids $!"
	done
	reader "$db" 5 &
	pids="$pids $!"
	for p in $pids; do wait "$p" || fail "a worker of $mode failed ($?)"; done
	verify "$db" "$WORK/$mode".?
done
remount_cold
for mode in delete wal; do verify "$MNT/$mode.db" "$WORK/$mode".?; done

for mode in delete wal; do
	pids=
	for id in 4 5; do
		worker "$MNT/$mode.db" $id 60 "$WORK/$mode.$id" 2>/dev/null &
		pids="$pids $!"
	done
	sleep 4
	kill_fs
	wait $pids
	rm -rf "$CACHE"
	mount_fs
	verify "$MNT/$mode.db" "$WORK/$mode".?
done
umount_fs
fsck_fs
