/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The protocol of lease, commit chain, fence, checkpoints and collector, for spin(1).
 * What is modelled, what is left out and why: README beside this file. `run` checks it.
 *
 * Each writer is one incarnation of a mount and has the epoch of its number: 1 made the chain, e takes
 * over from e - 1. A writer may stand still between any two steps, for ever (crashed) or until the
 * others have done whatever they can (a zombie), so crashes need no steps of their own.
 *
 * Names of assertions: invN is invariant N of doc/format.md; sane: a healthy store is never taken for a
 * corrupt one.
 */

/* ---- bounds ---- */

#ifndef SLOTS
#define SLOTS 5
#endif
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef CHECKS
#define CHECKS 3 /* checkpoints, of all writers */
#endif
#ifndef LATE
#define LATE true /* a slot's PUT may arrive late: one at a time */
#endif
#define N (WRITERS + 1)

/* ---- what is assumed of clocks ---- */

/*
 * With CLOCKS (nobody's clock runs a tenth slower than another's) no lease is taken before its holder
 * knows that it has run out: "valid by my clock" is then "nobody has taken it". Without, a holder may
 * believe in its lease for as long as it likes; that it finds out is no different from standing still.
 */
#if defined(CLOCKS) && !defined(EXPIRY_IGNORED)
#define LEASE_WAIT(e) \
	if \
	:: lease == e \
	:: atomic { lease != e -> goto stopped } \
	fi
#else
#define LEASE_WAIT(e) skip
#endif


/* ---- broken variants that change a condition ---- */

#ifdef NAME_WITHOUT_EPOCH
#define NAME(e) number[e]
#else
#define NAME(e) e
#endif

#ifdef NO_GRACE
#define GRACE_OVER(name) true
#else
#define GRACE_OVER(name) (follower == 0 || NAME(follower) != (name))
#endif

#ifdef RECORD_FIRST
#define PUBLISHABLE(e) made[e]
#else
#define PUBLISHABLE(e) stored[e]
#endif

#ifdef TRIM_TOO_FAR
#define TRIM_UPTO(e) (kept[e] == 0 -> 0 : newest[e])
#else
#define TRIM_UPTO(e) kept[e]
#endif

#ifdef FENCE_COLLECTED
#define IS_FENCE(e, k) false
#else
#define IS_FENCE(e, k) (k == fence[e] || (k < fence[e] && truth[k] != truth[k - 1]))
#endif

/* ---- witnesses: that the model can do what its checks are about ---- */

#ifdef WITNESS_LAST
#define LAST_ACKNOWLEDGES(e) assert(witness || e < WRITERS)
#else
#define LAST_ACKNOWLEDGES(e) skip
#endif
#ifdef WITNESS_LOOK
#define LOOK_REFUSES assert(witness)
#else
#define LOOK_REFUSES skip
#endif
#ifdef WITNESS_AGAIN
#define BEGINS_AGAIN assert(witness)
#else
#define BEGINS_AGAIN skip
#endif

/* ---- the store ---- */

byte lease = 1;	       /* the holder's epoch; changed by if-match */
byte slot[SLOTS + 2];  /* chain/<n>: 0, or the epoch of what is in it. A writer has one content for a slot */
byte check[SLOTS + 2]; /* checkpoint/<n>: 0, 1, or 2: not the true state after slot n */

/* ---- what really happened (no writer looks here) ---- */

byte truth[SLOTS + 2]; /* what was first in each slot: the history */
byte acked[N];	       /* the last slot that each writer acknowledged */

/* ---- writers ---- */

byte checks;
byte busy; /* writers that may still do something: the end of the last ends a run */
byte stage[N];
#define OPENING 0
#define OPEN 1
#define STOPPED 2 /* was open */
#define REFUSED 3 /* never opened */
#define HAS_OPENED(e) (stage[e] == OPEN || stage[e] == STOPPED)
byte last[N];	/* history.slot */
byte fence[N];	/* where its epoch begins */
bool forked[N]; /* its fence is in a gap: what it has is not the history */
byte newest[N], kept[N]; /* the newest checkpoint it knows of; and before that, when it has made one */
byte late, late_slot; /* whose slot's PUT was given up as lost and is still on its way */

#ifdef TABLES
byte named[SLOTS + 2]; /* truth: whose table the state after a slot names. Each writer makes one at most */
byte table[N];	       /* by name: 0, or whose it is */
byte born[N];	       /* by name: the fences there were when it was written, as its time */
byte fences, fence_born[N];
byte number[N]; /* LevelDB's number of its table */
bool made[N], stored[N], chosen[N]; /* in memory; durable; given to a slot */
bool late_table[N], late_chosen; /* its PUT is still on its way; the late slot publishes it */
byte removed[N], garbage[N]; /* names to be deleted: by its own slots; by its sweep */
byte follower; /* whose table a read-only mount within its grace may still read */
#endif

/* What the writer's own state names. */
#define NAMED(e) (forked[e] -> named[fence[e] - 1] : named[last[e]])

/* Never set while running: their names are in the message when an assertion fails. */
hidden byte inv1, inv2, inv3, inv4, inv5, inv6, inv9, witness;
#ifdef INSANE /* a broken variant shall go on to what is worse */
hidden byte sane = 1;
#else
hidden byte sane;
#endif


/* For use within atomic steps only. */
hidden byte i, j;

inline find_newest(ret)
{
	ret = SLOTS;
	do
	:: ret > 0 && check[ret] == 0 -> ret--
	:: else -> break
	od
}

#define BIT(n) (1 << ((n) - 1))

inline see_slots(ret)
{
	ret = 0;
	i = 1;
	do
	:: i <= SLOTS ->
		if
		:: slot[i] != 0 -> ret = ret | BIT(i)
		:: else
		fi;
		i++
	:: else -> break
	od
}

inline find_second(ret)
{
	find_newest(ret);
	if
	:: ret > 0 ->
		ret--;
		do
		:: ret > 0 && check[ret] == 0 -> ret--
		:: else -> break
		od
	:: else
	fi
}

/* Invariant 4 for tables: what the durable state names is there, and is what was written. */
inline check_tables()
{
#ifdef TABLES
	j = SLOTS;
	do
	:: truth[j] == 0 -> j--
	:: else -> break
	od;
	assert(inv4 || named[j] == 0 || table[NAME(named[j])] == named[j])
#else
	skip
#endif
}

#ifdef TABLES
inline check_follower()
{
	assert(inv9 || follower == 0 || table[NAME(follower)] == follower)
}
#endif

/* Invariant 4 for slots: what either of the two newest checkpoints needs is there. */
inline check_slots()
{
	find_second(i);
	i++;
	do
	:: i <= SLOTS && truth[i] != 0 ->
		assert(inv4 || slot[i] != 0);
		i++
	:: else -> break
	od
}

/*
 * A create-only PUT of slot s takes effect. Into a gap that trimming left it may put what was there
 * before, or the fence of a taker that was overtaken; but never where anybody still reads.
 */
inline create(s, e, publishes)
{
	slot[s] = e;
	if
	:: truth[s] == 0 ->
		assert(inv1 || s == 1 || truth[s - 1] != 0);
		assert(inv3 || truth[s - 1] <= e);
		truth[s] = e;
#ifdef TABLES
		named[s] = (publishes -> e : named[s - 1]);
		check_tables()
#endif
	:: else ->
		find_second(i);
		assert(inv1 || s <= i)
	fi;
#ifdef TABLES
	if
	:: fence[e] == 0 ->
		fences++;
		fence_born[e] = fences
	:: else
	fi
#endif
}

/* An acknowledged commit is part of the history, below every later epoch's fence; a fenced writer
 * acknowledges nothing. db_slot_send returning 0. */
inline acknowledge(e, s)
{
	assert(inv6 || stage[e] == OPEN);
	assert(inv2 || (truth[s] == e && !forked[e]));
	i = e + 1;
	do
	:: i < N ->
		assert(inv2 || !HAS_OPENED(i) || s < fence[i]);
		i++
	:: else -> break
	od;
	LAST_ACKNOWLEDGES(e);
	acked[e] = s
}

/* db_open returns 0: what was loaded is the history, with all that was acknowledged before. */
inline opened(e)
{
	assert(inv5 || !forked[e]);
	i = 1;
	do
	:: i < e ->
		assert(inv2 || acked[i] < fence[e]);
		i++
	:: else -> break
	od;
#ifdef TABLES
	assert(inv4 || named[last[e]] == 0 || table[NAME(named[last[e]])] == named[last[e]]);
#endif
	stage[e] = OPEN
}

/* ---- a mount: lease_acquire, db_open, commits ---- */

proctype Writer(byte e)
{
	byte from; /* the checkpoint that is loaded */
	byte seen; /* bit n - 1: slot n was listed; 0: slots were not listed yet (the first fence is always there) */
	bool again;
	byte upto; /* the end of the list of slots */
	bool publishes;

	if
	:: e == 1 -> goto writing
	:: else
	fi;

	/* lease_acquire: has run out, was released or its holder is dead; if-match */
	atomic { lease == e - 1 -> lease = e };

	/* db_load_history: list_all. Slots and checkpoints in one request, slots at the same moment or before; or
	 * checkpoints only */
list:	if
	:: atomic { see_slots(seen) }
	:: seen = 0
	fi;
	atomic {
		i = from;
		find_newest(from);
		if
		:: again -> /* was the checkpoint replaced meanwhile? */
			assert(sane || from > i);
			BEGINS_AGAIN;
			again = false
		:: else
		fi
	};
load:	/* try_load: read_checkpoint */
	if
	:: atomic { from > 0 && check[from] == 0 -> goto missing }
	:: atomic { from == 0 || check[from] != 0 ->
		assert(inv5 || check[from] != 2);
		last[e] = from }
	fi;
	/* find_end: every slot up to the last one listed must be there */
	atomic {
		if
		:: seen == 0 -> see_slots(seen) /* list_slots */
		:: else
		fi;
		i = from + 1;
		do
		:: i <= SLOTS && (seen & BIT(i)) != 0 -> i++
		:: else -> break
		od;
		j = SLOTS;
		do
		:: j >= i && (seen & BIT(j)) == 0 -> j--
		:: else -> break
		od;
		seen = 0;
		if
		:: j >= i -> goto missing
		:: else -> upto = i - 1
		fi
	};
	/* replay_slots */
	do
	:: atomic { last[e] < upto && slot[last[e] + 1] != 0 ->
		last[e]++;
		if
		:: slot[last[e]] != truth[last[e]] -> forked[e] = true
		:: else
		fi }
	:: atomic { last[e] < upto && slot[last[e] + 1] == 0 -> goto missing }
	:: atomic { last[e] == upto -> break }
	od;
	goto loaded;
missing: atomic {
		again = true;
		last[e] = 0;
		upto = 0;
		seen = 0;
		forked[e] = false;
		goto list
	};
loaded:	atomic {
		upto = 0;
		newest[e] = from
	};

	/* db_chain_fence: choose_epoch. A newer epoch in the chain: lease_raise meets its holder */
	if
	:: atomic { truth[last[e]] > e -> assert(sane || lease != e); goto refused }
	:: atomic { truth[last[e]] < e -> skip }
	fi;
	/* take_slot */
#ifdef NO_FENCE
	atomic { fence[e] = last[e] + 1 };
#else
taking:	if
	:: last[e] == SLOTS -> goto refused
	:: atomic { last[e] < SLOTS && slot[last[e] + 1] == 0 -> create(last[e] + 1, e, false) }
	:: atomic { last[e] < SLOTS && slot[last[e] + 1] == 0 && late == 0 && LATE ->
		late = e;
		late_slot = last[e] + 1;
		goto taking }
	:: atomic { last[e] < SLOTS && slot[last[e] + 1] != 0 -> skip };
		/* lost_race */
		if
		:: atomic { slot[last[e] + 1] == 0 -> goto taking }
		:: atomic { slot[last[e] + 1] == e -> skip } /* an answer was lost */
		:: atomic { slot[last[e] + 1] > e -> goto refused }
		:: atomic { slot[last[e] + 1] != 0 && slot[last[e] + 1] < e ->
			last[e]++;
			if
			:: slot[last[e]] != truth[last[e]] -> forked[e] = true
			:: else
			fi;
			goto taking }
		fi
	fi;
	atomic {
		last[e]++;
		fence[e] = last[e];
		if
		:: truth[last[e]] != e -> forked[e] = true
		:: else
		fi
	};
#endif
#ifndef NO_CONFIRM
	/* lease_confirm */
	if
	:: atomic { lease != e -> goto refused }
	:: lease == e
	fi;
#endif
#ifndef NO_LOOK
	/* has anything that was read, or the fence's slot, been trimmed before? */
	atomic {
#ifdef WEAK_LOOK
		find_newest(i);
		if
		:: i >= fence[e] -> LOOK_REFUSES; goto refused
#else
		find_second(i);
		if
		:: i > from -> LOOK_REFUSES; goto refused
#endif
		:: else
		fi
	};
#endif
	atomic { from = 0; opened(e) };

writing:
	do
	:: last[e] < SLOTS ->
#ifdef TABLES
		if
		:: publishes = false /* a log's bytes only */
		:: atomic { PUBLISHABLE(e) && !chosen[e] ->
			publishes = true;
#ifdef COLLECT_EARLY
			removed[e] = NAME(named[last[e]]);
#endif
			chosen[e] = true }
		fi;
#endif
#ifdef ACK_EARLY
		atomic { acknowledge(e, last[e] + 1) };
#endif
		LEASE_WAIT(e);
		/* db_slot_send: put_slot; answered, or not and sent again */
put:		if
		:: atomic { slot[last[e] + 1] == 0 -> create(last[e] + 1, e, publishes); goto sent }
		:: atomic { slot[last[e] + 1] == 0 && late == 0 && LATE ->
			late = e;
			late_slot = last[e] + 1;
#ifdef TABLES
			late_chosen = publishes;
#endif
			goto put }
		:: atomic { slot[last[e] + 1] != 0 -> skip }
		fi;
#ifndef NO_NONCE
		/* judge */
		if
		:: atomic { slot[last[e] + 1] == 0 -> goto put }
		:: atomic { slot[last[e] + 1] == e -> skip }
		:: atomic { slot[last[e] + 1] > e -> goto stopped }
		:: atomic { slot[last[e] + 1] != 0 && slot[last[e] + 1] < e -> assert(sane); goto stopped }
		fi;
#endif
sent:		/* enter_history, discard_tables; the answer to db_commit */
		atomic {
#ifdef TABLES
			if
			:: publishes ->
				removed[e] = NAME(named[last[e]]);
				publishes = false
			:: else
			fi;
#endif
#ifndef ACK_EARLY
			acknowledge(e, last[e] + 1);
#endif
			last[e]++
		}
	:: atomic { last[e] == SLOTS -> goto done }
	od;
stopped: /* -L3_FENCED, for good */
	atomic { stage[e] = STOPPED; publishes = false; goto done };
refused: /* -L3_FENCED: db_open fails */
	stage[e] = REFUSED;
done:	atomic { from = 0; busy-- }
}

/* ---- its other threads, and what of its requests is still on its way ---- */

#define TRIM(k) \
	:: atomic { busy > 0 && k <= TRIM_UPTO(e) && slot[k] != 0 && !IS_FENCE(e, k) -> slot[k] = 0; check_slots() } \
	:: atomic { busy > 0 && k < kept[e] && check[k] != 0 -> check[k] = 0; check_slots() }

#define SWEEP(x) \
	:: atomic { busy > 0 && HAS_OPENED(e) && garbage[e] == 0 && table[x] != 0 && \
			    born[x] < fence_born[e] && table[x] != NAMED(e) && table[x] != e -> \
		garbage[e] = x }

proctype Keeper(byte e)
{
	byte s;
	byte phase; /* of a checkpoint: 0 none, 1 taken, 2 sent */
	bool wrong;

end:	do
	/* make_checkpoint: take_state */
	:: atomic { busy > 0 && phase == 0 && checks < CHECKS && stage[e] == OPEN && last[e] > newest[e] ->
		checks++;
		s = last[e];
		wrong = forked[e];
#if defined(CLOCKS) && !defined(EXPIRY_IGNORED)
		phase = 1 }
#else
		phase = 2 }
#endif
#if defined(CLOCKS) && !defined(EXPIRY_IGNORED)
	/* lease_wait */
	:: atomic { busy > 0 && phase == 1 && lease == e -> phase = 2 }
#endif
	/* put_checkpoint, adopt, note_checkpoint */
	:: atomic { busy > 0 && phase == 2 ->
		if
		:: check[s] == 0 -> check[s] = 1 + wrong
		:: else
		fi;
		kept[e] = newest[e];
		newest[e] = s;
		s = 0;
		wrong = false;
		phase = 0;
		check_slots() }
	/* db_trim_run: in any order, and again when a request was doubled */
	TRIM(1)
	TRIM(2)
	TRIM(3)
#if SLOTS > 3
	TRIM(4)
#endif
#if SLOTS > 4
	TRIM(5)
#endif
#if SLOTS > 5
	TRIM(6)
#endif
#if SLOTS > 6
	TRIM(7)
#endif
#if SLOTS > 7
	TRIM(8)
#endif
	/* a PUT that was given up as lost arrives */
	:: atomic { late == e && busy > 0 ->
		if
#ifdef TABLES
		:: slot[late_slot] == 0 -> create(late_slot, e, late_chosen)
#else
		:: slot[late_slot] == 0 -> create(late_slot, e, false)
#endif
		:: else
		fi;
#ifdef TABLES
		late_chosen = false;
#endif
		late = 0;
		late_slot = 0 }
#ifdef TABLES
	/* LevelDB makes a table; db_table_upload_submit, upload */
	:: atomic { busy > 0 && stage[e] == OPEN && !made[e] ->
		number[e] = number[NAMED(e)] + 1;
		made[e] = true }
	:: atomic { busy > 0 && made[e] && !stored[e] ->
		if
		:: table[NAME(e)] == 0 ->
			table[NAME(e)] = e;
			born[NAME(e)] = fences
		:: else -> assert(sane || table[NAME(e)] == e)
		fi;
		stored[e] = true }
	:: atomic { busy > 0 && made[e] && !stored[e] && !late_table[e] -> late_table[e] = true }
	:: atomic { busy > 0 && late_table[e] ->
		if
		:: table[NAME(e)] == 0 ->
			table[NAME(e)] = e;
			born[NAME(e)] = fences
		:: else
		fi;
		late_table[e] = false }
	/* db_sweep_tables */
	SWEEP(1)
	SWEEP(2)
#if WRITERS > 2
	SWEEP(3)
#endif
	/* db_gc_run */
	:: atomic { busy > 0 && removed[e] != 0 && table[removed[e]] != 0 && GRACE_OVER(removed[e]) ->
		table[removed[e]] = 0;
		check_follower();
		check_tables() }
	:: atomic { busy > 0 && garbage[e] != 0 && table[garbage[e]] != 0 && GRACE_OVER(garbage[e]) ->
		table[garbage[e]] = 0;
		check_follower();
		check_tables() }
#endif
	od
}

#ifdef TABLES
/* A read-only mount: loads, and reads as long as its grace lasts. */
proctype Follower()
{
	atomic {
		i = SLOTS;
		do
		:: truth[i] == 0 -> i--
		:: else -> break
		od;
		follower = named[i]
	};
	atomic { follower = 0 }
}
#endif

init
{
	atomic {
		slot[1] = 1;
		truth[1] = 1;
		last[1] = 1;
		fence[1] = 1;
		stage[1] = OPEN;
		busy = WRITERS;
		i = 1;
		do
		:: i < N -> run Writer(i); run Keeper(i); i++
		:: else -> break
		od;
#ifdef TABLES
		run Follower()
#endif
	}
}
