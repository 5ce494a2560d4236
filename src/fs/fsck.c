/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fsck: the whole of it, on a filesystem that is not open here.
 *
 *	look		read-only: objects of the database (db_verify), keys (check.c), others
 *	mend		under the lease: rescue the database as long as it has to be, and make
 *			that durable; then rounds of check_run with changes until one makes none
 *	look again	what is left
 *
 * While the database is being rescued, and until the rounds after that are through, `super` says
 * REPAIRING: files may have lost extents, which nobody should read as holes meanwhile. A repair
 * that finds this goes on as if it had rescued the database itself.
 */
#include "fs/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ROUNDS_MAX 12
#define RESCUES_MAX 4
#define HOLDER "(fsck)"
#define WHEN_MAX 32

typedef unsigned long long ull;

struct fsck {
	const char *url;
	struct fs_config config;
	const struct fs_check_options *options;
	struct fs_fsck_result *result;
	enum fs_stage stage; /* of problems */
	uint64_t problems;   /* of this look */
	bool silent;	     /* they are told elsewhere */
	/* What the last look at the database's objects said: */
	struct db_verify_result db;
	bool db_unreadable;	   /* LevelDB does not open, or stops in the middle */
	struct store_list objects; /* all under the prefix */
	struct buf bad_keys;	   /* NUL-terminated, of objects that are to be kept elsewhere */
	bool rescued;
	bool kept_chain;    /* all slots that there were are under aside/ */
	struct fs *mending; /* NULL: this is only a look */
};

static int keep_object(struct fs *fs, const char *key);

static bool starts_with(const char *key, const char *prefix)
{
	return strncmp(key, prefix, strlen(prefix)) == 0;
}

/* ---- telling ---- */

static void tell(struct fsck *f, enum fs_stage stage, const char *code, const char *object,
		 const char *fmt, ...) PRINTF_LIKE(5, 6);

static void tell(struct fsck *f, enum fs_stage stage, const char *code, const char *object,
		 const char *fmt, ...)
{
	struct fs_finding finding = { .stage = stage, .code = code, .object = object };
	char text[1024];
	va_list ap;

	if (!f->options->finding)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	finding.text = text;
	f->options->finding(f->options->ctx, &finding);
}

static void problem(struct fsck *f, const char *code, const char *object, const char *text)
{
	f->problems++;
	if (!f->silent)
		tell(f, f->stage, code, object, "%s", text);
}

static void on_db_problem(void *ctx, const char *code, const char *key, const char *text)
{
	struct fsck *f = ctx;

	if (key && strstr(code, "-damaged"))
		buf_add(&f->bad_keys, key, strlen(key) + 1);
	problem(f, code, key, text);
	if (!f->mending || !starts_with(code, "fence-"))
		return;
	f->result->mended++;
	if (f->kept_chain) /* one sentence tells of all */
		return;
	if (keep_object(f->mending, key) < 0)
		log_debug("%s is not kept: %s", key, err_last_note());
	tell(f, FS_MENDED, code, key, "%s is made again", key);
}

/* Findings of a look: problems get the stage of this look. */
static void on_look(void *ctx, const struct fs_finding *finding)
{
	struct fsck *f = ctx;
	struct fs_finding copy = *finding;

	if (copy.stage == FS_FOUND)
		copy.stage = f->stage;
	if (f->options->finding)
		f->options->finding(f->options->ctx, &copy);
}

/* Of a round: only what was done; what was wrong has been told before. */
static void on_round(void *ctx, const struct fs_finding *finding)
{
	struct fsck *f = ctx;

	if (finding->stage == FS_MENDED && f->options->finding)
		f->options->finding(f->options->ctx, finding);
}

static void on_progress(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
	struct fsck *f = ctx;

	if (f->options->progress)
		f->options->progress(f->options->ctx, phase, done, total);
}

static bool is_cancelled(void *ctx)
{
	struct fsck *f = ctx;

	return f->options->cancelled && f->options->cancelled(f->options->ctx);
}

static struct fs_check_options options_with(struct fsck *f,
					    void (*finding)(void *, const struct fs_finding *))
{
	return (struct fs_check_options){ .data = f->options->data,
					  .finding = finding,
					  .progress = on_progress,
					  .cancelled = is_cancelled,
					  .ctx = f };
}

static bool is_damage(int err)
{
	return err == -L3_CORRUPT || err == -L3_VERSION;
}

/* ---- opening ---- */

/* To the super object, without anything that might be missing. */
static int open_bare(struct fsck *f, bool read_only, struct fs **ret, struct buf *super_bytes)
{
	struct fs *fs = NULL;
	int err;

	f->config.read_only = read_only;
	err = fs_new(&f->config, &fs);
	if (err < 0)
		return err;
	fs->checking = true;
	err = fs_open_stores(fs, f->url);
	if (err >= 0)
		err = super_look(fs->store, !read_only, &fs->super, super_bytes);
	if (err >= 0 && fs->super.kind != SUPER_KIND_FS)
		err = err_note(-L3_NOT_LEVELS3,
			       "%s holds a plain LevelDB database, not a filesystem", f->url);
	if (err < 0) {
		fs_give_up(fs);
		return err;
	}
	*ret = fs;
	return 0;
}

/* What the scan is to find out, e.g. that there are no totals, is no error here. */
static int load_state(struct fs *fs, struct recovery *r)
{
	int err = recover_parts(r);

	if (err >= 0)
		err = fs_load_totals(fs);
	if (err == -L3_CORRUPT) {
		fs->totals = (struct totals){ 0 };
		err = 0;
	}
	return err;
}

static int verify(struct fsck *f, struct fs *fs, bool tables, bool mending)
{
	struct db_verify_options o = { .tables = tables,
				       .mend = mending,
				       .problem = on_db_problem,
				       .progress = on_progress,
				       .cancelled = is_cancelled,
				       .ctx = f };

	buf_reset(&f->bad_keys);
	return db_verify(fs->store, &fs->super.uuid, &o, &f->db);
}

/* ---- a look ---- */

/* Nothing here knows what they are, so nothing here touches them. */
static int look_at_names(struct fsck *f, struct fs *fs)
{
	struct fs_fsck_result *r = f->result;
	uint64_t id;
	int err;

	r->foreign_objects = r->aside_objects = 0;
	store_list_release(&f->objects);
	err = store_list_all(fs->store, "", NULL, &f->objects);
	for (size_t n = 0; n < f->objects.count && err >= 0; n++) {
		const char *key = f->objects.entries[n].key;

		if (starts_with(key, FSCK_ASIDE)) {
			r->aside_objects++;
		} else if (!db_owns_key(key) && data_key_parse(key, &id) < 0) {
			r->foreign_objects++;
			tell(f, FS_NOTE, "foreign-object", key,
			     "%s is not of levels3, and was left alone", key);
		}
	}
	return err;
}

static void look_at_lease(struct fsck *f, struct fs *fs)
{
	struct lease_holder *h = &f->result->holder;
	int err = lease_read(fs->store, &fs->super.uuid, h);

	f->result->in_use = err >= 0 && !h->released && !lease_holder_is_dead(h);
	if (is_damage(err))
		problem(f, "lease-damaged", "lease", err_last_note());
}

/* What LevelDB stumbles over need not be in the tables' bytes as such. */
static int unreadable(struct fsck *f, int err)
{
	if (!is_damage(err))
		return err;
	f->db_unreadable = true;
	problem(f, "database-damaged", NULL, err_last_note());
	return 0;
}

/* It would keep mounts from writing: what commits carry has a checksum of its own, so it is what counts. */
static int on_differs(void *ctx, uint64_t segment)
{
	struct fsck *f = ctx;
	char key[DATA_KEY_MAX];
	int err;

	data_key(segment, key);
	if (!f->mending) {
		problem(f, "segment-differs", key, err_last_note());
		return 0;
	}
	err = keep_object(f->mending, key);
	if (err >= 0)
		err = data_recovered_replace(f->mending->data, segment);
	if (err < 0)
		return err;
	f->result->mended++;
	tell(f, FS_MENDED, "segment-differs", key,
	     "%s has again what commits carried of it; a copy of what it was is kept "
	     "under " FSCK_ASIDE,
	     key);
	return 0;
}

static int look_at_keys(struct fsck *f, struct fs *fs)
{
	struct fs_check_options o = options_with(f, on_look);
	struct recovery r = { .fs = fs };
	int err = fs_open_database(fs, false);

	if (err >= 0)
		err = load_state(fs, &r);
	if (err >= 0)
		err = recover_compare(&r, on_differs, f);
	recover_release(&r);
	if (err >= 0)
		fs->any_shift = shift_any(fs);
	if (err >= 0)
		err = check_run(fs, &o, NULL, &f->result->counts);
	if (err < 0)
		return unreadable(f, err);
	f->problems += f->result->counts.problems;
	return 0;
}

static int look(struct fsck *f, enum fs_stage stage)
{
	struct buf bytes CLEANUP(buf_release) = BUF_INIT;
	struct fs_fsck_result *r = f->result;
	struct fs *fs = NULL;
	int err = open_bare(f, true, &fs, &bytes);

	if (err < 0)
		return err;
	f->stage = stage;
	f->problems = 0;
	f->silent = false;
	f->db_unreadable = false;
	memset(&r->counts, 0, sizeof(r->counts));
	r->unfinished = fs->super.state == SUPER_REPAIRING;
	if (r->unfinished)
		problem(f, "repair-interrupted", SUPER_KEY, "a repair was begun and not finished");
	look_at_lease(f, fs);
	err = verify(f, fs, f->options->data, false);
	if (err >= 0 && !f->db.chain_broken)
		err = look_at_keys(f, fs);
	if (err >= 0)
		err = look_at_names(f, fs);
	r->slot = f->db.slot;
	r->epoch = f->db.epoch;
	r->slots = f->db.slots;
	r->checkpoints = f->db.checkpoints;
	r->table_objects = f->db.tables;
	if (err < 0)
		fs_give_up(fs);
	else
		fs_free(fs);
	return err;
}

/* ---- rescue ---- */

static int keep_object(struct fs *fs, const char *key)
{
	char to[STORE_KEY_MAX];
	int err;

	(void)snprintf(to, sizeof(to), FSCK_ASIDE "%010llu/%s", (ull)lease_epoch(fs->lease), key);
	err = store_copy(fs->store, key, to);
	return err == -ENOENT ? 0 : err;
}

/* Damaged objects, and slots that cannot be used: later trimming would take them. */
static int keep_objects(struct fsck *f, struct fs *fs)
{
	int err = 0;

	for (size_t at = 0; at < f->bad_keys.len && err >= 0;) {
		const char *key = (const char *)f->bad_keys.data + at;

		err = keep_object(fs, key);
		at += strlen(key) + 1;
	}
	for (size_t n = 0; n < f->objects.count && err >= 0 && f->db.chain_broken; n++) {
		const char *key = f->objects.entries[n].key;

		if (starts_with(key, "chain/") && db_owns_key(key))
			err = keep_object(fs, key);
	}
	f->kept_chain |= err >= 0 && f->db.chain_broken;
	return err;
}

static void when_of(int64_t mtime_s, char out[WHEN_MAX])
{
	time_t t = (time_t)mtime_s;
	struct tm tm;

	out[0] = 0;
	if (gmtime_r(&t, &tm))
		(void)strftime(out, WHEN_MAX, "%Y-%m-%d %H:%M:%S UTC", &tm);
}

/* By the store's clock: from the first slot that could not be used to the last that there is. */
static void tell_lost_time(struct fsck *f, const struct db_rescued *r)
{
	char first[WHEN_MAX] = "", last[WHEN_MAX] = "", key[64];

	(void)snprintf(key, sizeof(key), "chain/%020llu", (ull)r->slot);
	for (size_t n = 0; n < f->objects.count; n++) {
		const struct store_entry *e = &f->objects.entries[n];

		if (!starts_with(e->key, "chain/") || strcmp(e->key, key) < 0)
			continue;
		when_of(e->mtime_s, first[0] ? last : first);
	}
	if (first[0] && last[0])
		tell(f, FS_MENDED, "chain-rescued", NULL,
		     "what was committed between %s and %s is lost", first, last);
}

static void tell_rescue(struct fsck *f, const struct fs *fs)
{
	const struct db_rescued *r = &fs->rescued;

	if (r->scattered)
		tell(f, FS_MENDED, "database-rebuilt", NULL,
		     "no checkpoint could be used: the database is made of the tables and logs "
		     "that "
		     "there are; what was removed may be back");
	else if (r->end > r->slot)
		tell(f, FS_MENDED, "chain-rescued", NULL,
		     "the state is that after slot %llu; slots %llu to %llu are missing, or cannot "
		     "be "
		     "used",
		     (ull)r->slot, (ull)r->slot + 1, (ull)r->end);
	if (r->end > r->slot)
		tell(f, FS_MENDED, "chain-closed", NULL,
		     "nobody who still believes in an older state can write to slots up to %llu "
		     "any more",
		     (ull)r->end);
	if (!r->scattered && r->end > r->slot)
		tell_lost_time(f, r);
	if (r->files)
		tell(f, FS_MENDED, "database-rebuilt", NULL,
		     "LevelDB's files were repaired: records of those that are damaged or missing "
		     "are "
		     "lost");
}

/* The epochs in names of objects: a lease and a chain that are gone know none. */
static void note_epochs(struct fsck *f, struct fs *fs)
{
	uint64_t id;

	for (size_t n = 0; n < f->objects.count; n++)
		if (data_key_parse(f->objects.entries[n].key, &id) >= 0)
			fs->used_epoch = max_u64(fs->used_epoch, id >> 32);
}

/* They have been copied, and newer ones stand: nothing begins with them any more. */
static int remove_checkpoints(struct fsck *f, struct fs *fs)
{
	int err = 0;

	for (size_t at = 0; at < f->bad_keys.len && err >= 0;) {
		const char *key = (const char *)f->bad_keys.data + at;

		if (starts_with(key, "checkpoint/")) {
			err = store_remove(fs->store, key);
			f->result->mended++;
			tell(f, FS_MENDED, "checkpoint-damaged", key,
			     "%s is kept under " FSCK_ASIDE ", and others stand for it", key);
		}
		at += strlen(key) + 1;
	}
	return err;
}

/* A slot far behind all others is not of this chain: it bears the name only. */
static int remove_strays(struct fsck *f, struct fs *fs)
{
	char end[STORE_KEY_MAX];
	int err = 0;

	(void)snprintf(end, sizeof(end), "chain/%020llu", (ull)fs->rescued.end);
	for (size_t n = 0; n < f->objects.count && err >= 0; n++) {
		const char *key = f->objects.entries[n].key;

		if (!starts_with(key, "chain/") || !db_owns_key(key) || strcmp(key, end) <= 0)
			continue;
		err = store_remove(fs->store, key);
		tell(f, FS_MENDED, "slot-damaged", key,
		     "%s is no slot of this chain, and is kept under " FSCK_ASIDE, key);
	}
	return err;
}

/* What a mount would take for newer than the state that was made just now. */
static int remove_what_misleads(struct fsck *f, struct fs *fs)
{
	int err = remove_checkpoints(f, fs);

	return err >= 0 && f->kept_chain ? remove_strays(f, fs) : err;
}

/* Opens the database so, and makes what came of it durable: from here on it is the state. */
static int open_as(struct fsck *f, struct fs *fs, enum db_rescue rescue)
{
	struct recovery r = { .fs = fs };
	int err = 0;

	fs->rescue = rescue;
	if (rescue != DB_RESCUE_NONE) {
		f->rescued = true;
		note_epochs(f, fs);
		err = super_mark(fs->store, &fs->super, SUPER_REPAIRING);
		f->result->unfinished |= err >= 0;
	}
	if (err >= 0)
		err = keep_objects(f, fs);
	if (err >= 0)
		err = fs_open_database(fs, false);
	if (err >= 0)
		err = load_state(fs, &r);
	if (err >= 0)
		err = recover_compare(&r, on_differs, f);
	if (err >= 0)
		err = recover_note(&r);
	recover_release(&r);
	if (err >= 0)
		err = db_checkpoint(fs->db);
	if (err >= 0 && rescue != DB_RESCUE_NONE) {
		tell_rescue(f, fs);
		f->result->mended++;
		err = remove_what_misleads(f, fs);
	}
	return err;
}

static enum db_rescue what_it_takes(const struct fsck *f)
{
	if (f->db.tables_broken || f->db_unreadable)
		return DB_RESCUE_FILES;
	return f->db.chain_broken ? DB_RESCUE_CHAIN : DB_RESCUE_NONE;
}

/* ---- rounds ---- */

static int run_rounds(struct fsck *f, struct fs *fs)
{
	struct fs_check_options o = options_with(f, on_round);
	struct fs_check_result counts;
	struct mend m = { .rescued = f->rescued || fs->super.state == SUPER_REPAIRING };
	int err = 1;

	for (int n = 0; n < ROUNDS_MAX && err > 0; n++) {
		err = check_run(fs, &o, &m, &counts);
		f->result->mended += err < 0 ? 0 : m.changes;
		if (m.changes == 0)
			break;
	}
	mend_release(&m);
	return err < 0 ? err : 0;
}

/* A rescue, or what has to be done when there is nothing to rescue any more. 1: once more. */
static int attempt(struct fsck *f, struct fs *fs)
{
	enum db_rescue rescue = what_it_takes(f);
	int err = open_as(f, fs, rescue);

	if (err >= 0 && rescue == DB_RESCUE_NONE)
		err = run_rounds(f, fs);
	f->db_unreadable = is_damage(err) && rescue != DB_RESCUE_FILES;
	if ((err < 0 && !f->db_unreadable) || (err >= 0 && rescue == DB_RESCUE_NONE))
		return err;
	fs_close_database(fs);
	return 1;
}

static int mend_all(struct fsck *f, struct fs *fs)
{
	int err = 1;

	f->mending = fs;
	for (int n = 0; n < RESCUES_MAX && err > 0; n++) {
		err = verify(f, fs, true, true);
		if (err >= 0)
			err = attempt(f, fs);
	}
	f->mending = NULL;
	if (err > 0)
		err = err_note(-L3_CORRUPT, "the database cannot be brought in order");
	if (err >= 0)
		err = db_checkpoint(fs->db);
	if (err >= 0)
		err = remove_checkpoints(f, fs);
	if (err >= 0)
		err = super_mark(fs->store, &fs->super, SUPER_READY);
	f->result->unfinished &= err < 0;
	return err;
}

/* Nobody can tell whose it is. Who is alive renews it. */
static int clear_lease(struct fs *fs)
{
	uint64_t wait_ms = fs->config.lease_ms ? fs->config.lease_ms : 30000;
	struct store_meta before, after;
	int err = store_head(fs->store, "lease", &before);

	if (err >= 0)
		fs->clock->sleep_ms(fs->clock, wait_ms);
	if (err >= 0)
		err = store_head(fs->store, "lease", &after);
	if (err >= 0 && strcmp(before.etag, after.etag) != 0)
		err = err_note(-L3_LEASE_HELD, "the lease cannot be read, and somebody renews it");
	if (err >= 0)
		err = store_copy(fs->store, "lease", FSCK_ASIDE "lease");
	return err < 0 ? err : store_remove(fs->store, "lease");
}

static int take_lease(struct fsck *f, struct fs *fs)
{
	int err = fs_take_lease(fs, HOLDER, false);

	if (err != -L3_CORRUPT)
		return err;
	err = clear_lease(fs);
	if (err >= 0)
		err = fs_take_lease(fs, HOLDER, false);
	if (err < 0)
		return err;
	f->result->mended++;
	tell(f, FS_MENDED, "lease-damaged", "lease", "the lease is made anew; nobody renewed it");
	return 0;
}

static int mend(struct fsck *f)
{
	struct buf bytes CLEANUP(buf_release) = BUF_INIT;
	struct fs *fs = NULL;
	int err = open_bare(f, false, &fs, &bytes);

	if (err < 0)
		return err;
	f->silent = true;
	err = fs_probe(fs, &bytes);
	if (err >= 0)
		err = take_lease(f, fs);
	if (err >= 0)
		err = lease_start(fs->lease);
	if (err >= 0)
		err = mend_all(f, fs);
	if (err >= 0)
		err = lease_release(fs->lease);
	if (err < 0)
		fs_give_up(fs);
	else
		fs_free(fs);
	return err;
}

/* ---- the whole ---- */

/* Before anything is looked at: a repair of what is mounted is refused, with who has it. */
static int refuse_in_use(struct fsck *f)
{
	struct buf who CLEANUP(buf_release) = BUF_INIT, bytes CLEANUP(buf_release) = BUF_INIT;
	struct fs *fs = NULL;
	int err = open_bare(f, true, &fs, &bytes);

	if (err < 0)
		return err;
	look_at_lease(f, fs);
	fs_free(fs);
	if (!f->result->in_use || f->config.lease_wait_ms > 0)
		return 0;
	lease_describe(&f->result->holder, &who);
	return err_note(-L3_LEASE_HELD,
			"held by %s; unmount it first. If that host is dead, wait until its lease "
			"runs out: -o lease_wait=%llu",
			buf_cstr(&who), (ull)f->result->holder.duration_ms / 1000 + 5);
}

static int run(struct fsck *f, bool repair)
{
	int err = 0;

	f->silent = true;
	if (repair)
		err = refuse_in_use(f);
	if (err >= 0)
		err = look(f, FS_FOUND);
	f->result->found = f->result->left = f->problems;
	if (err < 0 || !repair || f->problems == 0)
		return err;
	err = mend(f);
	if (err >= 0)
		err = look(f, FS_LEFT);
	f->result->left = f->problems;
	return err;
}

int fs_fsck(const char *url, const struct fs_config *config, const struct fs_check_options *options,
	    bool repair, struct fs_fsck_result *ret)
{
	struct fsck f = { .url = url, .config = *config, .options = options, .result = ret };
	int err = fs_config_check(config);

	memset(ret, 0, sizeof(*ret));
	if (err < 0)
		return err;
	f.config.create = false;
	f.config.cache_dir = NULL; /* it is the store that is to be checked */
	err = run(&f, repair);
	store_list_release(&f.objects);
	buf_release(&f.bad_keys);
	return err;
}
