# limit: 400
# PostgreSQL on the mount: initdb, pgbench, checksums; kill -9 of the filesystem and of the server under load:
# it recovers by itself, and every transaction that a client saw committed is there.
# LEVELS3_TEST_CRASHES=N   how often the filesystem is killed (default 2)
# LEVELS3_TEST_SECONDS=N   how long the load runs before each kill (default 4)
. "$HERE/lib.sh"

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -x "$bin/initdb" ] || fail "PostgreSQL is not installed"
seconds=${LEVELS3_TEST_SECONDS:-4}
data=$MNT/pg/data
sock=$WORK/sock
export PGHOST=$sock PGDATABASE=postgres PGUSER=postgres PGCONNECT_TIMEOUT=60

# The server's own user, which is not the one who mounted.
as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups --)
pg() { # pg PROGRAM ARGUMENTS...
	local program=$1
	shift
	"${as_postgres[@]}" "$bin/$program" "$@"
}
sql() { pg psql -XAtq -v ON_ERROR_STOP=1 -c "$1"; }

# The postmaster is this shell's own child, so that it is gone for good when it has been waited for: its
# successor takes a zombie with the number in postmaster.pid for one alive.
postmaster=
start_server() {
	"${as_postgres[@]}" "$bin/postgres" -D "$data" </dev/null >>"$WORK/server.log" 2>&1 &
	postmaster=$!
	while ! pg pg_isready -q; do
		kill -0 $postmaster 2>/dev/null || fail "postgres does not start: $(tail -8 "$WORK/server.log")"
		sleep 0.1
	done
}
stop_server() {
	kill -INT $postmaster
	wait $postmaster || fail "exit status $? of postgres: $(tail -8 "$WORK/server.log")"
	postmaster=
}
kill_server() { # kill -9 of all of it, and wait: a survivor would keep the next one from starting
	local child children
	[ -n "$postmaster" ] || return
	children=$(pgrep -P "$postmaster")
	kill -9 "$postmaster" $children 2>/dev/null
	wait "$postmaster" 2>/dev/null
	postmaster=
	for child in $children; do
		until gone "$child"; do sleep 0.05; done
	done
}
at_exit kill_server

# What clients do, each kind in a pgbench of its own: the bank, the witness, and one who disturbs.
cat >"$WORK/witness.sql" <<'SQL'
\set n :n + 1
BEGIN;
INSERT INTO witness VALUES (:round, :client_id, :n, repeat(md5(random()::text), 8));
UPDATE counter SET n = :n WHERE round = :round AND client = :client_id;
COMMIT;
SQL
cat >"$WORK/disturb.sql" <<'SQL'
CHECKPOINT;
CREATE TABLE passing AS SELECT g AS a, md5(g::text) AS b FROM generate_series(1, 2000) g;
CREATE INDEX passing_b ON passing(b);
VACUUM pgbench_branches, pgbench_tellers, witness;
DROP TABLE passing;
SELECT pg_switch_wal();
\sleep 300 ms
SQL
chmod a+r "$WORK"/*.sql

# load ROUND SECONDS: runs all three; $WORK/ack.* gets a line of each transaction the witness saw committed
load() {
	local round=$1 seconds=$2
	sql "INSERT INTO counter SELECT $round, g, 0 FROM generate_series(0, 3) g" || fail "round $round cannot begin"
	pg pgbench -n -c 4 -j 2 -T "$seconds" >"$WORK/bank.out" 2>&1 &
	bank=$!
	(cd "$sock" && exec "${as_postgres[@]}" "$bin/pgbench" -n -c 4 -j 2 -T "$seconds" \
		-f "$WORK/witness.sql" -D n=0 -D round="$round" --log --log-prefix="ack.$round") >"$WORK/witness.out" 2>&1 &
	witness=$!
	pg pgbench -n -c 1 -T "$seconds" -f "$WORK/disturb.sql" >"$WORK/disturb.out" 2>&1 &
	disturber=$!
}
# The log's fields: client, its transaction's number, microseconds or what went wrong, ...
acknowledged() { cat "$sock/ack.$1".* 2>/dev/null | awk -v r="$1" '$3 ~ /^[0-9]+$/ { print r, $1, $2 }' | sort; }

# verify ROUND...: all that was acknowledged is there, each transaction whole, and every structure sound
verify() {
	local round
	for round in "$@"; do
		acknowledged "$round" >"$WORK/acknowledged"
		[ "$(wc -l <"$WORK/acknowledged")" -ge 10 ] || fail "round $round: hardly anything was committed: $(tail -3 "$WORK/witness.out")"
		sql "SELECT round || ' ' || client || ' ' || n FROM witness WHERE round = $round" | sort >"$WORK/present" || fail "cannot read the witness"
		comm -23 "$WORK/acknowledged" "$WORK/present" >"$WORK/missing"
		[ ! -s "$WORK/missing" ] || fail "round $round: $(wc -l <"$WORK/missing") acknowledged transactions are missing: $(head -3 "$WORK/missing" | tr '\n' ';')"
		[ "$(sql "SELECT count(*) FROM counter c WHERE round = $round AND n <> coalesce((SELECT max(n) FROM witness w
			WHERE w.round = c.round AND w.client = c.client), 0)")" = 0 ] || fail "round $round: half a transaction"
	done
	[ "$(sql 'SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(bbalance) FROM pgbench_branches)
		AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(delta) FROM pgbench_history)
		AND (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) FROM pgbench_history)')" = t ] || fail "the bank's sums differ"
	pg pg_amcheck --all --install-missing --heapallindexed --parent-check >"$WORK/amcheck" 2>&1 || fail "pg_amcheck: $(head -5 "$WORK/amcheck")"
}
checksums() { pg pg_checksums --check -D "$data" >"$WORK/checksums" 2>&1 || fail "pg_checksums: $(tail -5 "$WORK/checksums")"; }

chmod 711 "$WORK"
mkdir "$sock" && chown postgres: "$sock" || fail "no folder for the socket"
cd "$sock" || fail cd
mkfs
mount_fs
mkdir "$MNT/pg" && chown postgres: "$MNT/pg" && chmod 700 "$MNT/pg"
pg initdb --data-checksums --auth=trust --encoding=UTF8 --locale=C -D "$data" >"$WORK/initdb" 2>&1 || fail "initdb: $(tail -5 "$WORK/initdb")"
"${as_postgres[@]}" tee -a "$data/postgresql.conf" >/dev/null <<CONF || fail "cannot write the configuration"
listen_addresses = ''
unix_socket_directories = '$sock'
fsync = on
synchronous_commit = on
full_page_writes = on
shared_buffers = 16MB
max_wal_size = 64MB
min_wal_size = 32MB
checkpoint_timeout = 30s
log_checkpoints = on
CONF
start_server
pg pgbench -i -q -s 2 --foreign-keys >"$WORK/init" 2>&1 || fail "pgbench -i: $(tail -5 "$WORK/init")"
sql 'CREATE TABLE witness(round int, client int, n int, filler text, PRIMARY KEY (round, client, n));
	CREATE TABLE counter(round int, client int, n int, PRIMARY KEY (round, client))' || fail "tables"

# In peace: everything there after a clean end and a cold start.
load 0 "$seconds"
for job in $bank $witness $disturber; do wait "$job" || fail "a client failed: $(cat "$WORK"/{bank,witness,disturb}.out | grep -v "^[a-z ]* [=:]" | tail -8)"; done
echo "FIGURE $STORE: $(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$WORK/bank.out" | head -1) + $(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$WORK/witness.out" | head -1) durable transactions per second of pgbench, 4 + 4 clients"
stop_server
checksums
remount_cold
checksums
start_server
verify 0

# The server alone is lost: its own recovery, through our caches.
load 1 60
sleep "$seconds"
kill_server
wait $bank $witness $disturber
start_server
verify 1

# The filesystem is lost under it, again and again.
for round in $(seq 2 $((1 + ${LEVELS3_TEST_CRASHES:-2}))); do
	load "$round" 60
	sleep "$seconds"
	kill_fs
	kill_server
	wait $bank $witness $disturber
	rm -rf "$CACHE"
	mount_fs
	start_server
	verify "$round"
done
verify $(seq 0 "$round")
stop_server
checksums
umount_fs
fsck_fs
