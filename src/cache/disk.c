/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * disk: pieces in files. Reading checks every piece; writing makes room first. Nothing here fails
 * towards the caller: what cannot be read is not there, what cannot be written is not kept.
 */
#include "cache/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>

#define BATCH 32
#define WRITE_BATCH 16
#define TOUCH_MS 60000
#define PAGE_BYTES 4096
#define PIECES_MAX 65536       /* of one object */
#define LIMIT_LEAST (16 * MIB) /* of what is taken of a small disk */
#define MIN_FREE_LEAST GIB
#define MIN_FREE_MOST (50 * GIB)

/* ---- opening ---- */

static int take_entry(void *ctx, const struct folder_entry *e)
{
	struct disk *d = ctx;
	struct disk_object *o;

	HASH_FIND_STR(d->objects, e->name, o);
	if (!o) {
		o = calloc(1, sizeof(*o));
		if (!o)
			return -ENOMEM;
		memcpy(o->name, e->name, sizeof(o->name));
		HASH_ADD_STR(d->objects, name, o);
		DL_PREPEND(d->order, o);
	}
	object_account(d, o, e->is_index ? o->data_bytes : e->bytes,
		       e->is_index ? e->bytes : o->index_bytes);
	if (e->is_index)
		o->mtime_ns = e->mtime_ns; /* written and touched last */
	o->has_index |= e->is_index;
	o->has_data |= !e->is_index;
	return 0;
}

static int by_use(const struct disk_object *a, const struct disk_object *b)
{
	return a->mtime_ns < b->mtime_ns ? 1 : a->mtime_ns > b->mtime_ns ? -1 : 0;
}

/* What is there from the last time: files only looked at, indexes read when somebody asks. */
static int scan(struct disk *d)
{
	struct disk_object *o, *next;
	int err = folder_scan(&d->folder, take_entry, d);

	if (err < 0)
		return err;
	DL_SORT(d->order, by_use);
	pthread_mutex_lock(&d->lock);
	HASH_ITER (hh, d->objects, o, next) {
		if (o->has_index && o->has_data)
			continue;
		o->refs++;
		object_kill(d, o);
		object_put(d, o);
	}
	if (disk_make_room(d, 0) < 0)
		log_debug("cache: %s has less room than it should leave", d->dir);
	pthread_mutex_unlock(&d->lock);
	return 0;
}

static int disk_new(const struct cache_config *config, struct cache_stats *stats,
		    struct blob_pool *pool, struct disk **ret)
{
	struct disk *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	*d = (struct disk){ .clock = config->clock ? config->clock : &clock_system,
			    .notifier = config->notifier,
			    .stats = stats,
			    .pool = pool,
			    .dir = strdup(config->dir),
			    .fs = config->fs,
			    .folder = { -1, -1 } };
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);
	spare_init(&d->spare);
	if (!d->dir) {
		disk_close(d);
		return -ENOMEM;
	}
	*ret = d;
	return 0;
}

void disk_limits(const struct cache_config *config, uint64_t total_bytes, uint64_t *ret_limit,
		 uint64_t *ret_min_free)
{
	uint64_t percent = config->disk_percent;
	uint64_t part = total_bytes / 100 * percent + total_bytes % 100 * percent / 100;
	uint64_t spared = max_u64(MIN_FREE_LEAST, min_u64(MIN_FREE_MOST, total_bytes / 20));

	*ret_limit = config->disk_bytes ? config->disk_bytes : max_u64(LIMIT_LEAST, part);
	*ret_min_free = config->min_free_bytes ? config->min_free_bytes : spared;
}

static int settle_limits(struct disk *d, const struct cache_config *config)
{
	struct statvfs v;

	if (fstatvfs(d->folder.fd, &v) < 0)
		return -errno;
	disk_limits(config, (uint64_t)v.f_blocks * v.f_frsize, &d->limit_bytes, &d->min_free_bytes);
	return 0;
}

static bool is_full(int err)
{
	return err == -ENOSPC || err == -EDQUOT;
}

int disk_check(const char *dir)
{
	int err = folder_check(dir);

	return is_full(err) ? 0 : err;
}

int disk_open(const struct cache_config *config, struct cache_stats *stats, struct blob_pool *pool,
	      struct disk **ret)
{
	struct disk *d = NULL;
	int err = disk_new(config, stats, pool, &d);

	*ret = NULL;
	if (err < 0)
		return err;
	err = folder_open(d->dir, &d->fs, &d->folder);
	if (err == -EBUSY || is_full(err)) {
		notify(&d->notifier, LOG_L_WARN, "cache folder %s %s, caching in memory only",
		       d->dir,
		       err == -EBUSY ? "is in use by another process" : "is on a full disk");
		disk_close(d);
		return 0;
	}
	if (err >= 0)
		err = settle_limits(d, config);
	if (err >= 0)
		err = scan(d);
	if (err < 0) {
		disk_close(d);
		return err;
	}
	*ret = d;
	return 0;
}

void disk_close(struct disk *d)
{
	struct disk_object *o, *next;

	if (!d)
		return;
	HASH_ITER (hh, d->objects, o, next) {
		HASH_DEL(d->objects, o);
		pieces_release(&o->pieces);
		free(o);
	}
	folder_close(&d->folder);
	spare_release(&d->spare);
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->changed);
	free(d->dir);
	free(d);
}

uint64_t disk_limit(const struct disk *d)
{
	return d ? d->limit_bytes : 0;
}

uint64_t disk_bytes(struct disk *d)
{
	uint64_t used;

	if (!d)
		return 0;
	pthread_mutex_lock(&d->lock);
	used = d->used_bytes;
	pthread_mutex_unlock(&d->lock);
	return used;
}

/* ---- reading ---- */

struct reading {
	struct disk *d;
	struct disk_object *o;
	const char *key;
	struct memory *promote;
	int fd;
	bool fd_lent;
	struct span left; /* of what is wanted */
	struct cache_view *view;
};

/* Pieces that cover what is left from its start on. */
static size_t gather(struct reading *r, struct disk_piece found[BATCH])
{
	const struct piece_list *l = &r->o->pieces;
	uint64_t pos = r->left.offset;
	size_t n = 0;

	pthread_mutex_lock(&r->d->lock);
	for (size_t i = pieces_find(l, pos); i < l->count && n < BATCH; i++) {
		if (l->pieces[i].at.offset > pos || pos >= span_end(&r->left))
			break;
		found[n++] = l->pieces[i];
		pos = span_end(&l->pieces[i].at);
	}
	pthread_mutex_unlock(&r->d->lock);
	return n;
}

/* The bytes on disk are not what the index says. */
static void drop_piece(struct disk *d, struct disk_object *o, const struct disk_piece *p)
{
	size_t i;

	__atomic_add_fetch(&d->stats->corrupt, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&d->lock);
	i = pieces_find(&o->pieces, p->at.offset);
	if (i < o->pieces.count && o->pieces.pieces[i].at.offset == p->at.offset &&
	    o->pieces.pieces[i].sum == p->sum)
		pieces_remove(&o->pieces, i);
	pthread_mutex_unlock(&d->lock);
}

static void drop_object(struct disk *d, struct disk_object *o, int err)
{
	pthread_mutex_lock(&d->lock);
	object_kill(d, o);
	if (err != -ENOENT)
		disk_trouble(d, err);
	pthread_mutex_unlock(&d->lock);
}

static bool open_data(struct reading *r)
{
	char file[FILE_NAME_LEN];

	if (r->fd >= 0)
		return true;
	object_file(r->o, 'd', file);
	r->fd = spare_open(&r->d->spare, r->d->folder.fd, file, O_RDONLY, &r->fd_lent);
	if (r->fd < 0 && !disk_is_our_lack(r->fd))
		drop_object(r->d, r->o, r->fd);
	return r->fd >= 0;
}

/* Reads and checks a piece. */
static bool fetch_piece(struct reading *r, const struct disk_piece *p, struct blob *b)
{
	uint64_t done = 0;

	if (!open_data(r) || b->bytes.cap < p->at.len)
		return false;
	while (done < p->at.len) {
		ssize_t n = pread(r->fd, b->bytes.data + done, p->at.len - done,
				  (off_t)(p->at.offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			drop_object(r->d, r->o, -errno);
			return false;
		}
		if (n == 0)
			break;
		done += (uint64_t)n;
	}
	b->bytes.len = done;
	if (done == p->at.len && XXH3_64bits(b->bytes.data, done) == p->sum)
		return true;
	drop_piece(r->d, r->o, p);
	return false;
}

/* Hands over the part of the piece that is wanted. */
static bool deliver(struct reading *r, const struct disk_piece *p)
{
	uint64_t len = min_u64(span_end(&p->at), span_end(&r->left)) - r->left.offset;
	struct blob *b = blob_new(r->d->pool, p->at.offset, p->at.len);
	bool ok = b && fetch_piece(r, p, b);

	if (ok) {
		memory_insert(r->promote, r->key, b);
		ok = view_add(r->view, b, r->left.offset, len) >= 0;
	}
	blob_put(b);
	if (!ok)
		return false;
	r->left.offset += len;
	r->left.len -= len;
	return true;
}

/* Once a minute at most, so that the order of use outlives the process. */
static void touch(struct disk *d, struct disk_object *o)
{
	uint64_t now = clock_mono_ms(d->clock);
	char file[FILE_NAME_LEN];
	bool due;

	pthread_mutex_lock(&d->lock);
	due = o->touched_ms == 0 || now - o->touched_ms >= TOUCH_MS;
	if (due)
		o->touched_ms = now;
	pthread_mutex_unlock(&d->lock);
	object_file(o, 'i', file);
	if (due)
		(void)utimensat(d->folder.fd, file, NULL, AT_SYMLINK_NOFOLLOW);
}

static void read_pieces(struct reading *r)
{
	struct disk_piece found[BATCH];
	size_t n;

	do {
		n = r->left.len > 0 ? gather(r, found) : 0;
		for (size_t i = 0; i < n; i++)
			if (!deliver(r, &found[i]))
				return;
	} while (n == BATCH);
}

uint64_t disk_view(struct disk *d, const char *key, const struct span *want,
		   struct cache_view *view, struct memory *promote)
{
	struct reading r = {
		.d = d, .key = key, .promote = promote, .fd = -1, .left = *want, .view = view
	};

	if (!d)
		return 0;
	pthread_mutex_lock(&d->lock);
	r.o = object_enter(d, key, false);
	pthread_mutex_unlock(&d->lock);
	if (!r.o)
		return 0;
	read_pieces(&r);
	if (r.left.len < want->len)
		touch(d, r.o);
	spare_close(&d->spare, r.fd, r.fd_lent);
	pthread_mutex_lock(&d->lock);
	object_put(d, r.o);
	pthread_mutex_unlock(&d->lock);
	return want->len - r.left.len;
}

uint64_t disk_covers(struct disk *d, const char *key, const struct span *want)
{
	uint64_t pos = want->offset, end = span_end(want);
	struct disk_object *o;

	if (!d)
		return 0;
	pthread_mutex_lock(&d->lock);
	o = object_enter(d, key, false);
	for (size_t i = o ? pieces_find(&o->pieces, pos) : 0; o && i < o->pieces.count && pos < end;
	     i++) {
		if (o->pieces.pieces[i].at.offset > pos)
			break;
		pos = span_end(&o->pieces.pieces[i].at);
	}
	if (o)
		object_put(d, o);
	pthread_mutex_unlock(&d->lock);
	return min_u64(pos, end) - want->offset;
}

uint64_t disk_held(struct disk *d, const char *key, const struct span *range)
{
	uint64_t end = span_end(range), held = 0;
	struct disk_object *o;

	if (!d)
		return 0;
	pthread_mutex_lock(&d->lock);
	o = object_enter(d, key, false);
	for (size_t i = o ? pieces_find(&o->pieces, range->offset) : 0;
	     o && i < o->pieces.count && o->pieces.pieces[i].at.offset < end; i++) {
		const struct span *at = &o->pieces.pieces[i].at;

		held += min_u64(span_end(at), end) - max_u64(at->offset, range->offset);
	}
	if (o)
		object_put(d, o);
	pthread_mutex_unlock(&d->lock);
	return held;
}

/* ---- writing ---- */

/* Cuts from both ends what is there already; false when nothing is left. */
static bool cut_to_gap(const struct piece_list *l, struct span *part)
{
	size_t first = pieces_find(l, part->offset), last;
	uint64_t end = span_end(part), start = part->offset;

	if (first < l->count && l->pieces[first].at.offset <= start)
		start = span_end(&l->pieces[first].at);
	if (start >= end)
		return false;
	last = pieces_find(l, end - 1);
	if (last < l->count && l->pieces[last].at.offset < end)
		end = l->pieces[last].at.offset;
	*part = (struct span){ start, end > start ? end - start : 0 };
	return part->len > 0;
}

static int write_data(int fd, const struct span *at, const uint8_t *data, uint64_t *ret_file_bytes)
{
	struct stat st;
	uint64_t done = 0;

	while (done < at->len) {
		ssize_t n = pwrite(fd, data + done, at->len - done, (off_t)(at->offset + done));

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (uint64_t)n : 0;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_file_bytes = (uint64_t)st.st_blocks * 512;
	return 0;
}

static int open_to_write(struct disk *d, const struct disk_object *o, char kind, int flags,
			 bool *ret_lent)
{
	char file[FILE_NAME_LEN];

	object_file(o, kind, file);
	return spare_open(&d->spare, d->folder.fd, file, O_WRONLY | flags, ret_lent);
}

struct batch { /* of pieces next to each other, written in one go */
	struct disk_piece pieces[WRITE_BATCH];
	size_t count;
	const uint8_t *data;
};

static struct span batch_span(const struct batch *b)
{
	uint64_t start = b->pieces[0].at.offset;

	return (struct span){ start, span_end(&b->pieces[b->count - 1].at) - start };
}

/* First the data, then what says that they are there; one descriptor at a time. */
static int write_files(struct disk *d, const struct disk_object *o, const char *key,
		       const struct batch *b, uint64_t ret_bytes[2])
{
	int new = O_CREAT | O_TRUNC;
	struct span at = batch_span(b);
	bool lent;
	int fd = open_to_write(d, o, 'd', o->has_data ? 0 : new, &lent);
	int err = fd < 0 ? fd : write_data(fd, &at, b->data, &ret_bytes[0]);

	spare_close(&d->spare, fd, lent);
	if (err < 0)
		return err;
	fd = open_to_write(d, o, 'i', O_APPEND | (o->has_index ? 0 : new), &lent);
	err = fd < 0 ? fd
		     : index_append(fd, key, !o->has_index, b->pieces, b->count, &ret_bytes[1]);
	spare_close(&d->spare, fd, lent);
	return err;
}

/* What pieces can take at most: their pages, one more of the index, one of the file system's own. */
static uint64_t most_blocks(const struct span *at)
{
	uint64_t pages = (span_end(at) + PAGE_BYTES - 1) / PAGE_BYTES - at->offset / PAGE_BYTES;

	return (pages + 2) * PAGE_BYTES;
}

static void sum_pieces(struct batch *b)
{
	const uint8_t *data = b->data;

	for (size_t i = 0; i < b->count; i++) {
		b->pieces[i].sum = XXH3_64bits(data, b->pieces[i].at.len);
		data += b->pieces[i].at.len;
	}
}

/* The lock is held. */
static int note_pieces(struct disk_object *o, const struct batch *b)
{
	int err = 0;

	for (size_t i = 0; i < b->count && err >= 0; i++)
		err = pieces_set(&o->pieces, &b->pieces[i]);
	return err;
}

/* Room has been made. The lock is held, and dropped meanwhile. False: leave it at that. */
static bool write_into_room(struct disk *d, struct disk_object *o, const char *key, struct batch *b,
			    uint64_t room)
{
	uint64_t bytes[2] = { o->data_bytes, o->index_bytes };
	int err;

	pthread_mutex_unlock(&d->lock);
	sum_pieces(b);
	err = write_files(d, o, key, b, bytes);
	pthread_mutex_lock(&d->lock);
	d->reserved_bytes -= room;
	if (disk_is_our_lack(err) && o->has_index)
		return false; /* what was there before is whole */
	o->has_data = o->has_index = true;
	object_account(d, o, bytes[0], bytes[1]);
	if (err >= 0)
		err = note_pieces(o, b);
	if (err < 0) {
		o->dead = true; /* a half-written index is worthless */
		disk_trouble(d, err);
	} else {
		disk_all_well(d);
	}
	return err >= 0 && !o->dead;
}

/* The lock is held, the object claimed. 0: there is no room for so much; negative: leave it at that. */
static int write_batch(struct disk *d, struct disk_object *o, const char *key, struct batch *b)
{
	struct span at = batch_span(b);
	uint64_t need = most_blocks(&at);
	int err = disk_make_room(d, need);

	if (err < 0)
		disk_trouble(d, err);
	if (err <= 0)
		return err;
	return write_into_room(d, o, key, b, need) ? 1 : -1;
}

/* The next pieces that are not there yet, up to a gap between them. Returns where it has looked to. */
static uint64_t next_batch(const struct disk_object *o, const struct span *left, size_t max,
			   struct batch *ret)
{
	struct span rest = *left;

	ret->count = 0;
	while (rest.len > 0 && ret->count < max && o->pieces.count + ret->count < PIECES_MAX) {
		struct span part = { rest.offset, piece_part(&rest) };
		uint64_t end = span_end(&part);
		bool cut = cut_to_gap(&o->pieces, &part);

		if (ret->count > 0 && (!cut || part.offset != rest.offset))
			break;
		rest = (struct span){ end, span_end(&rest) - end };
		if (!cut)
			continue;
		ret->pieces[ret->count++] = (struct disk_piece){ .at = part };
		if (span_end(&part) != end)
			break;
	}
	return rest.offset;
}

static void write_pieces(struct disk *d, struct disk_object *o, const char *key,
			 const struct span *range, const uint8_t *data)
{
	struct span left = *range;
	size_t max = WRITE_BATCH;
	struct batch b;

	while (left.len > 0 && !o->dead && o->pieces.count < PIECES_MAX) {
		uint64_t upto = next_batch(o, &left, max, &b);
		int done = 1;

		if (b.count > 0) {
			b.data = data + (b.pieces[0].at.offset - range->offset);
			done = write_batch(d, o, key, &b);
		}
		if (done < 0 || (done == 0 && max == 1))
			break;
		if (done == 0)
			max = 1; /* for less there may be room */
		else
			left = (struct span){ upto, span_end(range) - upto };
	}
}

void disk_write(struct disk *d, const char *key, uint64_t offset, const uint8_t *data, uint64_t len)
{
	struct disk_object *o = NULL;

	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	if (disk_is_bypassed(d))
		__atomic_add_fetch(&d->stats->bypassed, 1, __ATOMIC_RELAXED);
	else
		o = object_enter(d, key, true);
	if (o) {
		object_claim(d, o);
		write_pieces(d, o, key, &(struct span){ offset, len }, data);
		if (!o->has_data)
			o->dead = true; /* nothing came of it */
		object_unclaim(d, o);
		object_put(d, o);
	}
	pthread_mutex_unlock(&d->lock);
}

void disk_forget(struct disk *d, const char *key)
{
	struct disk_object *o;

	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	o = object_peek(d, key);
	if (o) {
		object_kill(d, o);
		object_put(d, o);
	}
	pthread_mutex_unlock(&d->lock);
}
