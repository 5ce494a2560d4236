/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * read: reading files, and readahead.
 *
 * What a reader sees is laid over one another: extents of the database at the bottom, then the
 * frozen sets from old to new, then the dirty set. A window is what a walk over the database found
 * for a range, without a lock, and the map_version before the walk. Under the inode's lock the
 * window counts only if the version is still the same; then bytes in memory are copied, from the
 * top layer down to the gaps that are left, and the pieces to fetch are noted. Fetching happens
 * without the lock.
 *
 * A window belongs to an open file and serves its next reads, too: a sequential reader looks
 * extents up once per window, ahead of itself, and has them fetched.
 */
#include "fs/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_EXTENTS_MAX 4096
#define AHEAD_MIN (1 * MIB)
#define AHEAD_GROWTH 8	       /* times what was read in a row */
#define AHEAD_SHARE_MIN (4 * MIB) /* of each, when many files are read at once */
#define AHEAD_FROM (32 * KIB) /* bytes in a row: two pages of a database side by side are no stream */
/* Reads of one stream arrive out of order, large ones; small ones come as the program makes them. */
#define SEQUENTIAL_SLACK_MAX (1 * MIB)
#define SEQUENTIAL_SLACK_READS 8
#define FRESH_TRIES 4

/* ---- windows ---- */

struct map_window {
	unsigned refs; /* atomic */
	uint64_t version;
	uint64_t start, end;	 /* the range that it knows */
	struct extent_list list; /* inline bytes: `raw_offset` says where in `bytes` */
	struct buf bytes;
};

static void window_put(struct map_window *w)
{
	if (!w || __atomic_sub_fetch(&w->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	extent_list_release(&w->list);
	buf_release(&w->bytes);
	free(w);
}

void read_window_drop(struct fs_file *f)
{
	window_put(f->window);
	f->window = NULL;
}

static int window_add(void *ctx, const struct extent *e)
{
	struct map_window *w = ctx;
	struct extent copy = *e;
	int err;

	if (e->kind == EXTENT_INLINE) {
		copy.raw_offset = (uint32_t)w->bytes.len;
		buf_add(&w->bytes, e->bytes, e->end - e->start);
		copy.bytes = NULL;
		if (w->bytes.failed)
			return -ENOMEM;
	}
	err = extent_list_add(&w->list, &copy);
	if (err < 0)
		return err;
	if (w->list.count < WINDOW_EXTENTS_MAX)
		return 0;
	w->end = e->end;
	return 1;
}

/* version is the inode's before the walk. skip: the database has nothing there. */
static int window_make(struct fs *fs, uint64_t ino, uint64_t version, uint64_t start, uint64_t end,
		       bool skip, struct map_window **ret)
{
	struct map_window *w = calloc(1, sizeof(*w));
	int err = 0;

	if (!w)
		return -ENOMEM;
	w->refs = 1;
	w->version = version;
	w->start = start;
	w->end = end;
	if (!skip)
		err = extent_walk(fs, ino, start, end, window_add, w);
	if (err < 0) {
		window_put(w);
		return err;
	}
	*ret = w;
	return 0;
}

/* ---- readahead ---- */

static void ahead_set(struct fs_file *f, uint64_t ahead)
{
	if (ahead > 0 && f->ahead == 0)
		__atomic_add_fetch(&f->fs->readers, 1, __ATOMIC_RELAXED);
	if (ahead == 0 && f->ahead > 0)
		__atomic_sub_fetch(&f->fs->readers, 1, __ATOMIC_RELAXED);
	f->ahead = ahead;
}

void read_ahead_end(struct fs_file *f)
{
	ahead_set(f, 0);
	f->sequential = 0;
	f->prefetched = 0;
}

/* It grows with what was read, so that who stops after little has not had much fetched in vain; three
 * round trips are enough to get from the first page to all that a file may have. */
static void ahead_grow(struct fs_file *f)
{
	unsigned readers = __atomic_load_n(&f->fs->readers, __ATOMIC_RELAXED);
	uint64_t share = max_u64(f->fs->ahead_bytes / (readers + (f->ahead == 0)), AHEAD_SHARE_MIN);

	ahead_set(f, min_u64(max_u64(AHEAD_GROWTH * f->sequential, AHEAD_MIN), share));
}

/* How far the window for this read should go. file locked. */
static uint64_t plan_ahead(struct fs_file *f, uint64_t offset, uint64_t len)
{
	uint64_t slack = min_u64(SEQUENTIAL_SLACK_MAX, len * SEQUENTIAL_SLACK_READS);
	uint64_t low = f->next_offset - min_u64(f->next_offset, slack);

	if (offset < low || offset > f->next_offset + slack) {
		read_ahead_end(f);
		f->next_offset = offset + len;
		return offset + len;
	}
	f->next_offset = max_u64(f->next_offset, offset + len);
	f->sequential += len;
	/* The second read in a row, or a large first one from the start of the file. */
	if (f->ahead > 0 || (f->sequential >= AHEAD_FROM && (f->sequential > len || offset == 0)))
		ahead_grow(f);
	return offset + len + f->ahead;
}

/* Whoever begins a file, or goes on where the last read ended, is likely to read on. file locked. */
static enum data_reach reach_of(const struct fs_file *f, uint64_t offset, uint64_t len)
{
	return offset == 0 || f->sequential > len ? DATA_AROUND : DATA_EXACT;
}

/* Extents that begin before `asked` were asked for already; those that end before `from` are read. */
static void prefetch(struct fs *fs, const struct map_window *w, uint64_t from, uint64_t asked)
{
	struct data_ref *refs = calloc(w->list.count + 1, sizeof(*refs));
	size_t count = 0;

	if (!refs)
		return;
	for (size_t n = 0; n < w->list.count; n++) {
		const struct extent *e = &w->list.at[n];

		if (e->kind == EXTENT_STORED && e->end > from && e->start >= asked)
			refs[count++] = e->ref;
	}
	if (count > 0)
		data_prefetch(fs->data, refs, count);
	free(refs);
}

/* The file's window if it will do: it covers the read, and half of what is to come. */
static struct map_window *present_window(struct fs_file *f, uint64_t offset, uint64_t len,
					 uint64_t *ret_end, enum data_reach *ret_reach)
{
	struct map_window *w;
	uint64_t need;

	pthread_mutex_lock(&f->lock);
	*ret_end = plan_ahead(f, offset, len);
	*ret_reach = reach_of(f, offset, len);
	w = f->window;
	need = offset + len + f->ahead / 2;
	if (w && (offset < w->start || need > w->end))
		w = NULL;
	if (w)
		__atomic_fetch_add(&w->refs, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&f->lock);
	return w;
}

static void keep_window(struct fs_file *f, struct map_window *w, uint64_t read_end)
{
	uint64_t asked;
	bool fetch;

	pthread_mutex_lock(&f->lock);
	__atomic_fetch_add(&w->refs, 1, __ATOMIC_RELAXED);
	read_window_drop(f);
	f->window = w;
	asked = f->prefetched;
	fetch = f->ahead > 0 && max_u64(read_end, asked) < w->end;
	if (fetch)
		f->prefetched = w->end;
	pthread_mutex_unlock(&f->lock);
	if (fetch)
		prefetch(f->fs, w, read_end, asked);
}

static int fresh_window(struct fs_file *f, uint64_t offset, uint64_t len, uint64_t end,
			struct map_window **ret)
{
	struct inode *i = f->inode;
	uint64_t version;
	bool skip;
	int err;

	pthread_mutex_lock(&i->lock);
	version = i->map_version;
	skip = !extent_may_overlap(i, offset);
	pthread_mutex_unlock(&i->lock);
	err = window_make(f->fs, i->ino, version, offset, end, skip, ret);
	if (err >= 0)
		keep_window(f, *ret, offset + len);
	return err;
}

/* ---- putting the layers together ---- */

struct range {
	uint64_t start, end;
};

struct ranges {
	struct range *at;
	size_t count, cap;
};

struct gather {
	uint64_t start; /* file offset of dst[0] */
	uint8_t *dst;
	struct ranges gaps; /* what no layer has covered yet, ascending */
	struct ranges left; /* of them, behind the layer being laid */
	size_t at;	    /* in gaps */
	struct data_piece *pieces;
	size_t piece_count, piece_cap;
	enum data_reach reach;
	const struct map_window *window;
};

static int ranges_add(struct ranges *r, uint64_t start, uint64_t end)
{
	if (r->count == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 8;
		struct range *more = realloc(r->at, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		r->at = more;
		r->cap = cap;
	}
	r->at[r->count++] = (struct range){ start, end };
	return 0;
}

static int gather_piece(struct gather *g, const struct extent *e)
{
	if (g->piece_count == g->piece_cap) {
		size_t cap = g->piece_cap ? g->piece_cap * 2 : 16;
		struct data_piece *more = realloc(g->pieces, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		g->pieces = more;
		g->piece_cap = cap;
	}
	g->pieces[g->piece_count++] = (struct data_piece){
		.ref = e->ref,
		.raw_offset = e->raw_offset,
		.len = (uint32_t)(e->end - e->start),
		.dst = g->dst + (e->start - g->start),
	};
	return 0;
}

/* Fills one gap, or the part of it that the extent has. */
static int gather_fill(struct gather *g, const struct extent *e, uint64_t start, uint64_t end)
{
	struct extent part = *e;
	uint8_t *dst = g->dst + (start - g->start);

	switch (e->kind) {
	case EXTENT_STORED:
		part = extent_part(e, start, end);
		return gather_piece(g, &part);
	case EXTENT_INLINE:
		memcpy(dst, e->bytes + (start - e->start), end - start);
		return 0;
	case EXTENT_LOST:
		return err_note(-L3_CORRUPT, "bytes %llu to %llu of the file were lost, fsck has found",
				(unsigned long long)e->start, (unsigned long long)e->end);
	default:
		memset(dst, 0, end - start);
		return 0;
	}
}

/* Lays one extent of the present layer; a layer's extents come in order. */
static int gather_lay(struct gather *g, const struct extent *e)
{
	int err = 0;

	while (err >= 0 && g->at < g->gaps.count && g->gaps.at[g->at].start < e->end) {
		struct range *gap = &g->gaps.at[g->at];
		uint64_t start = max_u64(gap->start, e->start), end = min_u64(gap->end, e->end);

		if (start >= end) { /* the gap ends before the extent */
			err = ranges_add(&g->left, gap->start, gap->end);
			g->at++;
			continue;
		}
		err = gather_fill(g, e, start, end);
		if (err >= 0 && gap->start < start)
			err = ranges_add(&g->left, gap->start, start);
		if (end < gap->end) {
			gap->start = end;
			break;
		}
		g->at++;
	}
	return err;
}

/* The gaps that are left become those of the next layer. */
static int gather_next_layer(struct gather *g)
{
	struct ranges spare = g->gaps;
	int err = 0;

	for (; g->at < g->gaps.count && err >= 0; g->at++)
		err = ranges_add(&g->left, g->gaps.at[g->at].start, g->gaps.at[g->at].end);
	g->gaps = g->left;
	g->left = spare;
	g->left.count = 0;
	g->at = 0;
	return err;
}

static int lay_bytes(void *ctx, uint64_t start, const uint8_t *bytes, size_t len)
{
	struct extent e = {
		.start = start, .end = start + len, .kind = EXTENT_INLINE, .bytes = bytes
	};

	return gather_lay(ctx, &e);
}

static int gather_set(struct gather *g, const struct dirty_set *set)
{
	int err;

	if (g->gaps.count == 0 || set->count == 0)
		return 0;
	err = dirty_each(set, g->gaps.at[0].start, g->gaps.at[g->gaps.count - 1].end, lay_bytes, g);
	return err < 0 ? err : gather_next_layer(g);
}

/* The first extent of an ascending list that ends after `at`. */
static size_t list_place(const struct extent_list *l, uint64_t at)
{
	size_t low = 0, high = l->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (l->at[mid].end <= at)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int gather_list(struct gather *g, const struct extent_list *l, uint64_t limit)
{
	int err = 0;

	if (g->gaps.count == 0)
		return 0;
	for (size_t n = list_place(l, g->gaps.at[0].start); n < l->count && err >= 0; n++) {
		struct extent e = l->at[n];

		if (e.start >= min_u64(g->gaps.at[g->gaps.count - 1].end, limit))
			break;
		if (e.kind == EXTENT_INLINE)
			e.bytes = g->window->bytes.data + e.raw_offset;
		e.end = min_u64(e.end, limit);
		err = gather_lay(g, &e);
	}
	return err < 0 ? err : gather_next_layer(g);
}

/* The newest frozen set first. */
static int gather_frozen(struct gather *g, const struct inode *i)
{
	const struct frozen *z = i->frozen ? i->frozen->prev : NULL;
	int err = 0;

	while (z && err >= 0) {
		if (z->state == FROZEN_PACKED)
			err = gather_list(g, &z->packed, UINT64_MAX);
		else
			err = gather_set(g, &z->set);
		z = z == i->frozen ? NULL : z->prev;
	}
	return err;
}

/* Inode locked; the window is of the present version. */
static int gather_all(struct gather *g, const struct inode *i, uint64_t start, uint64_t end)
{
	int err = ranges_add(&g->gaps, start, end);

	if (err >= 0)
		err = gather_set(g, &i->dirty);
	if (err >= 0)
		err = gather_frozen(g, i);
	if (err >= 0)
		err = gather_list(g, &g->window->list, i->trimming ? i->trim_from : UINT64_MAX);
	if (err < 0)
		return err;
	for (size_t n = 0; n < g->gaps.count; n++)
		memset(g->dst + (g->gaps.at[n].start - g->start), 0,
		       g->gaps.at[n].end - g->gaps.at[n].start);
	return 0;
}

static void gather_release(struct gather *g)
{
	free(g->gaps.at);
	free(g->left.at);
	free(g->pieces);
}

/* ---- reading ---- */

/* 1: the window is stale. Otherwise the number of bytes gathered, in *ret_len. Inode locked. */
static int gather_locked(struct gather *g, struct inode *i, uint64_t offset, uint64_t len,
			 uint64_t *ret_len)
{
	uint64_t end = min_u64(offset + len, i->attr.size);

	*ret_len = 0;
	if (offset >= i->attr.size)
		return 0;
	if (g->window->version != i->map_version)
		return 1;
	end = min_u64(end, g->window->end);
	*ret_len = end - offset;
	return gather_all(g, i, offset, end);
}

/* A writer that changes the map faster than we look: look under the lock. */
static int gather_stubbornly(struct fs_file *f, struct gather *g, uint64_t offset, uint64_t len,
			     uint64_t *ret_len)
{
	struct inode *i = f->inode;
	struct map_window *w = NULL;
	int err;

	pthread_mutex_lock(&i->lock);
	err = shift_finish(f->fs, i);
	if (err >= 0)
		err = window_make(f->fs, i->ino, i->map_version, offset, offset + len, false, &w);
	if (err >= 0) {
		g->window = w;
		err = gather_locked(g, i, offset, len, ret_len);
	}
	pthread_mutex_unlock(&i->lock);
	window_put(w);
	return err;
}

static int gather_some(struct fs_file *f, struct gather *g, uint64_t offset, uint64_t len,
		       uint64_t *ret_len)
{
	uint64_t end;
	struct map_window *w = present_window(f, offset, len, &end, &g->reach);
	int err = 0;

	for (unsigned tries = 0; tries < FRESH_TRIES; tries++) {
		if (!w && (err = fresh_window(f, offset, len, end, &w)) < 0)
			return err;
		g->window = w;
		pthread_mutex_lock(&f->inode->lock);
		err = shift_finish(f->fs, f->inode);
		if (err >= 0)
			err = gather_locked(g, f->inode, offset, len, ret_len);
		if (err >= 0 && !__atomic_load_n(&f->noatime, __ATOMIC_RELAXED))
			(void)inode_touch_atime(f->fs, f->inode);
		pthread_mutex_unlock(&f->inode->lock);
		window_put(w);
		w = NULL;
		if (err <= 0)
			return err;
	}
	return gather_stubbornly(f, g, offset, len, ret_len);
}

static uint64_t present_version(struct inode *i)
{
	uint64_t version;

	pthread_mutex_lock(&i->lock);
	version = i->map_version;
	pthread_mutex_unlock(&i->lock);
	return version;
}

/* At least one byte, unless at the end of the file. */
static ssize_t read_some(struct fs_file *f, uint8_t *dst, uint64_t len, uint64_t offset)
{
	uint64_t version = present_version(f->inode), got = 0;

	for (;;) {
		struct gather g = { .start = offset, .dst = dst };
		int err = gather_some(f, &g, offset, len, &got);

		if (err >= 0 && g.piece_count > 0)
			err = data_read(f->fs->data, g.pieces, g.piece_count, g.reach);
		gather_release(&g);
		if (err >= 0)
			return (ssize_t)got;
		/* The bytes may have moved meanwhile, and their old place may be gone. */
		if (present_version(f->inode) == version)
			return err;
		version = present_version(f->inode);
	}
}

static ssize_t read_pieces(struct fs_file *f, uint8_t *dst, size_t len, uint64_t offset)
{
	size_t done = 0;

	if (offset > FS_FILE_SIZE_MAX)
		return -EINVAL;
	len = min_u64(len, FS_FILE_SIZE_MAX - offset);
	while (done < len) {
		ssize_t n = read_some(f, dst + done, len - done, offset + done);

		if (n < 0)
			return done > 0 ? (ssize_t)done : n;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	if (done < len) { /* there is no more to come */
		pthread_mutex_lock(&f->lock);
		read_ahead_end(f);
		pthread_mutex_unlock(&f->lock);
	}
	return (ssize_t)done;
}

ssize_t fs_read(struct fs_file *f, void *buf, size_t len, uint64_t offset)
{
	ssize_t n = read_pieces(f, buf, len, offset);

	if (n > 0)
		__atomic_add_fetch(&f->fs->bytes_read, (uint64_t)n, __ATOMIC_RELAXED);
	return n;
}
