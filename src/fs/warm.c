/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * warm: what files are made of, and fetching that into the cache before somebody reads it.
 *
 * Fetching asks for what the cache lacks only, so it goes on where it was broken off. It ends when
 * as much has been passed as the cache holds: more would push out what came first. Without any lock
 * but those of a moment; readers have the network to share with it, as with any other reader.
 */
#include "fs/tree.h"

#include <errno.h>
#include <stdlib.h>

#define BATCH_BYTES (16 * MIB)
#define BATCH_EXTENTS 512

/* ---- what a file is made of ---- */

struct used_object {
	uint64_t segment;
	UT_hash_handle hh;
	struct fs_object_info info;
};

struct describing {
	struct fs *fs;
	struct fs_file_info *info;
	struct used_object *objects;
};

static struct used_object *object_of(struct describing *d, uint64_t segment)
{
	struct used_object *o;

	HASH_FIND(hh, d->objects, &segment, sizeof(segment), o);
	if (o)
		return o;
	o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->segment = segment;
	data_key(segment, o->info.key);
	HASH_ADD(hh, d->objects, segment, sizeof(o->segment), o);
	if (o->hh.tbl)
		return o;
	free(o);
	return NULL;
}

static int add_stored(struct describing *d, const struct extent *e)
{
	struct used_object *o = object_of(d, e->ref.segment);

	if (!o)
		return -ENOMEM;
	o->info.extents++;
	o->info.bytes += e->end - e->start;
	o->info.stored_bytes += e->ref.stored_bytes;
	if (e->ref.codec == DATA_LZ4)
		o->info.compressed++;
	if (data_is_at_hand(d->fs->data, &e->ref))
		o->info.cached_bytes += e->ref.stored_bytes;
	return 0;
}

static int add_extent(void *ctx, const struct extent *e)
{
	struct describing *d = ctx;
	uint64_t len = e->end - e->start;

	d->info->extents++;
	switch (e->kind) {
	case EXTENT_INLINE:
		d->info->inline_bytes += len;
		return 0;
	case EXTENT_UNWRITTEN:
		d->info->unwritten_bytes += len;
		return 0;
	case EXTENT_LOST:
		d->info->lost_bytes += len;
		return 0;
	default:
		return add_stored(d, e);
	}
}

static int tell_objects(struct describing *d,
			int (*each)(void *ctx, const struct fs_object_info *o), void *ctx)
{
	struct used_object *o, *next;
	int err = 0;

	HASH_ITER (hh, d->objects, o, next) {
		d->info->objects++;
		d->info->stored_bytes += o->info.stored_bytes;
		d->info->cached_bytes += o->info.cached_bytes;
		if (err >= 0)
			err = each(ctx, &o->info);
		HASH_DEL(d->objects, o);
		free(o);
	}
	return err;
}

int fs_describe(struct fs *fs, uint64_t ino, int (*each)(void *ctx, const struct fs_object_info *o),
		void *ctx, struct fs_file_info *ret)
{
	struct describing d = { .fs = fs, .info = ret };
	struct inode *i;
	int err = inode_get(fs, ino, &i), told;

	if (err < 0)
		return err;
	*ret = (struct fs_file_info){ 0 };
	pthread_mutex_lock(&i->lock);
	inode_to_attr(i, &ret->attr);
	ret->unsaved_bytes = inode_unsaved_bytes(i);
	pthread_mutex_unlock(&i->lock);
	inode_put(fs, i);
	if (S_ISREG(ret->attr.mode))
		err = extent_walk(fs, ino, 0, FS_FILE_SIZE_MAX, add_extent, &d);
	told = tell_objects(&d, each, ctx);
	return err < 0 ? err : told;
}

/* ---- fetching ---- */

struct warming {
	struct fs *fs;
	const struct fs_watch *watch;
	struct fs_warmed *result;
	uint64_t limit_bytes;
	struct data_piece pieces[BATCH_EXTENTS];
	uint8_t *bytes; /* BATCH_BYTES */
	size_t count, used;
};

static int fetch_batch(struct warming *w)
{
	int err = w->count ? data_read(w->fs->data, w->pieces, w->count, DATA_EXACT) : 0;

	for (size_t n = 0; n < w->count && err >= 0; n++)
		w->result->fetched_bytes += w->pieces[n].ref.stored_bytes;
	w->count = 0;
	w->used = 0;
	if (err >= 0 && !tree_goes_on(w->watch, w->result->fetched_bytes, w->result->files))
		err = -ECANCELED;
	return err < 0 ? err : 0;
}

/* 1: the cache holds no more. */
static int warm_extent(void *ctx, const struct extent *e)
{
	struct warming *w = ctx;
	const struct data_ref *ref = &e->ref;
	int err = 0;

	if (e->kind != EXTENT_STORED)
		return 0;
	if (w->result->held_bytes + w->result->fetched_bytes + w->used + ref->stored_bytes >
	    w->limit_bytes) {
		w->result->full = true;
		return 1;
	}
	if (data_is_at_hand(w->fs->data, ref)) {
		w->result->held_bytes += ref->stored_bytes;
		return 0;
	}
	if (w->count == BATCH_EXTENTS || w->used + ref->raw_bytes > BATCH_BYTES)
		err = fetch_batch(w);
	if (err < 0)
		return err;
	w->pieces[w->count++] = (struct data_piece){ .ref = *ref,
						     .len = ref->raw_bytes,
						     .dst = w->bytes + w->used };
	w->used += ref->raw_bytes;
	return 0;
}

static int warm_file(void *ctx, const struct fs_attr *a, bool again)
{
	struct warming *w = ctx;
	int err;

	if (again || !S_ISREG(a->mode))
		return tree_goes_on(w->watch, w->result->fetched_bytes, w->result->files)
			       ? 0
			       : -ECANCELED;
	if (w->result->full)
		return -ENOSPC;
	err = extent_walk(w->fs, a->ino, 0, FS_FILE_SIZE_MAX, warm_extent, w);
	if (err < 0)
		return err;
	w->result->files += !w->result->full;
	return w->result->full ? -ENOSPC : 0;
}

int fs_warm(struct fs *fs, uint64_t ino, const struct fs_watch *watch, struct fs_warmed *ret)
{
	struct warming *w = calloc(1, sizeof(*w));
	int err = -ENOMEM;

	*ret = (struct fs_warmed){ 0 };
	if (!w)
		return -ENOMEM;
	w->fs = fs;
	w->watch = watch;
	w->result = ret;
	w->limit_bytes = fs_cache_bytes(fs);
	w->bytes = malloc(BATCH_BYTES);
	if (w->bytes)
		err = tree_walk(fs, ino, warm_file, w);
	if (err == -ENOSPC && ret->full)
		err = 0;
	if (err >= 0)
		err = fetch_batch(w);
	free(w->bytes);
	free(w);
	return err;
}
