/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * keys: what the database's keys and values are made of. doc/format.md has the same byte by byte.
 *
 * Integers in keys are big-endian, so that LevelDB's order means something. Values begin with a
 * record version; whole numbers are LEB128 varints, times and checksums eight bytes little-endian.
 * Whatever is decoded may be hostile: every decoder checks that all bytes were there, and no more,
 * and that the values make sense by themselves.
 */
#include "fs/internal.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

#define RECORD_VERSION 1
#define REFERENCED_VERSION 2 /* of segments that may have R records */
#define COOKIE_HASH_SHIFT 9 /* of 64 bits of hash, 55 go into the cookie, */
#define COOKIE_N_BITS 8	    /* above the number within a run of equal hashes */

/* ---- keys ---- */

uint64_t key_cookie(const struct fs *fs, const char *name, unsigned n)
{
	uint64_t hash = XXH3_64bits_withSeed(name, strlen(name), fs->super.hash_seed);

	hash = (hash >> COOKIE_HASH_SHIFT) & ~fs->hash_blind;
	if (hash == 0)
		hash = 1; /* cookies below 256 are kept free for "." and ".." */
	return hash << COOKIE_N_BITS | n;
}

static void key_begin(struct key *k, uint8_t kind, uint64_t first)
{
	k->bytes[0] = kind;
	put_u64_be(k->bytes + 1, first);
	k->len = 9;
}

static void key_second(struct key *k, uint64_t second)
{
	put_u64_be(k->bytes + k->len, second);
	k->len += 8;
}

void key_inode(struct key *k, uint64_t ino)
{
	key_begin(k, KEY_INODE, ino);
}

void key_dentry(struct key *k, uint64_t dir, uint64_t cookie)
{
	key_begin(k, KEY_DENTRY, dir);
	key_second(k, cookie);
}

void key_extent(struct key *k, uint64_t ino, uint64_t end)
{
	key_begin(k, KEY_EXTENT, ino);
	key_second(k, end);
}

void key_xattr(struct key *k, uint64_t ino, const char *name)
{
	size_t len = name ? strnlen(name, FS_XATTR_NAME_MAX) : 0;

	key_begin(k, KEY_XATTR, ino);
	memcpy(k->bytes + k->len, name ? name : "", len);
	k->len += len;
}

void key_segment(struct key *k, uint64_t segment)
{
	key_begin(k, KEY_SEGMENT, segment);
}

void key_reference(struct key *k, uint64_t segment, uint64_t ino)
{
	key_begin(k, KEY_REFERENCE, segment);
	key_second(k, ino);
}

void key_orphan(struct key *k, uint64_t ino)
{
	key_begin(k, KEY_ORPHAN, ino);
}

void key_shift(struct key *k, uint64_t ino)
{
	key_begin(k, KEY_SHIFT, ino);
}

void key_totals(struct key *k)
{
	k->bytes[0] = KEY_TOTALS;
	k->len = 1;
}

/* ---- values ---- */

static void begin(struct rd *r, const void *data, size_t len)
{
	rd_init(r, data, len);
	if (rd_u8(r) != RECORD_VERSION)
		r->failed = true;
}

/* A varint that must fit into 32 bits. */
static uint32_t rd_varint32(struct rd *r)
{
	uint64_t v = rd_varint(r);

	if (v > UINT32_MAX)
		r->failed = true;
	return (uint32_t)v;
}

static int finish_of(struct rd *r, bool sane, uint8_t newest, const char *what, uint64_t of)
{
	if (rd_done(r) == 0 && sane)
		return 0;
	if (r->len > 0 && (r->data[0] < RECORD_VERSION || r->data[0] > newest))
		return err_note(-L3_CORRUPT, "%s record of %llu has the unknown version %u", what,
				(unsigned long long)of, r->data[0]);
	return err_note(-L3_CORRUPT, "%s record of %llu cannot be decoded", what,
			(unsigned long long)of);
}

static int finish(struct rd *r, bool sane, const char *what, uint64_t of)
{
	return finish_of(r, sane, RECORD_VERSION, what, of);
}

void inode_encode(struct buf *out, const struct attr *a, uint64_t size)
{
	buf_u8(out, RECORD_VERSION);
	buf_varint(out, a->mode);
	buf_varint(out, a->uid);
	buf_varint(out, a->gid);
	buf_varint(out, a->nlink);
	buf_varint(out, a->rdev);
	buf_varint(out, size);
	buf_varint(out, a->alloc_bytes);
	buf_u64(out, (uint64_t)a->atime_ns);
	buf_u64(out, (uint64_t)a->mtime_ns);
	buf_u64(out, (uint64_t)a->ctime_ns);
	buf_u64(out, (uint64_t)a->btime_ns);
	buf_varint(out, a->parent);
	buf_varint(out, a->entries);
	buf_varint(out, a->flags);
	buf_bytes(out, a->target.data, a->target.len);
}

static bool inode_is_sane(const struct attr *a, size_t target_len)
{
	if (S_ISLNK(a->mode) != (target_len > 0) || target_len > FS_SYMLINK_MAX)
		return false;
	switch (a->mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return a->size <= FS_FILE_SIZE_MAX;
	default:
		return false;
	}
}

int inode_decode(const void *data, size_t len, uint64_t ino, struct attr *ret)
{
	struct attr a = { 0 };
	const uint8_t *target;
	size_t target_len = 0;
	struct rd r;
	int err;

	begin(&r, data, len);
	a.mode = rd_varint32(&r);
	a.uid = rd_varint32(&r);
	a.gid = rd_varint32(&r);
	a.nlink = rd_varint32(&r);
	a.rdev = rd_varint(&r);
	a.size = rd_varint(&r);
	a.alloc_bytes = rd_varint(&r);
	a.atime_ns = (int64_t)rd_u64(&r);
	a.mtime_ns = (int64_t)rd_u64(&r);
	a.ctime_ns = (int64_t)rd_u64(&r);
	a.btime_ns = (int64_t)rd_u64(&r);
	a.parent = rd_varint(&r);
	a.entries = rd_varint(&r);
	a.flags = rd_varint32(&r);
	target = rd_bytes(&r, &target_len);
	err = finish(&r, inode_is_sane(&a, target_len), "inode", ino);
	if (err < 0)
		return err;
	if (target_len > 0)
		buf_add(&a.target, target, target_len);
	err = buf_error(&a.target);
	if (err < 0) {
		buf_release(&a.target);
		return err;
	}
	*ret = a;
	return 0;
}

void dentry_encode(struct buf *out, uint8_t type, uint64_t ino, const char *name, size_t len)
{
	buf_u8(out, RECORD_VERSION);
	buf_u8(out, type);
	buf_varint(out, ino);
	buf_bytes(out, name, len);
}

static bool dentry_is_sane(const struct dentry *d)
{
	if (d->type == 0)
		return d->ino == 0 && d->name_len == 0;
	return d->type <= 15 && d->ino != 0 && d->name_len > 0 && d->name_len <= FS_NAME_MAX &&
	       !memchr(d->name, '/', d->name_len) && !memchr(d->name, 0, d->name_len);
}

int dentry_decode(const void *data, size_t len, struct dentry *ret)
{
	struct dentry d = { 0 };
	struct rd r;
	int err;

	begin(&r, data, len);
	d.type = rd_u8(&r);
	d.ino = rd_varint(&r);
	d.name = (const char *)rd_bytes(&r, &d.name_len);
	err = finish(&r, !r.failed && dentry_is_sane(&d), "directory entry", d.ino);
	if (err < 0)
		return err;
	*ret = d;
	return 0;
}

void extent_encode(struct buf *out, const struct extent *e)
{
	buf_u8(out, RECORD_VERSION);
	buf_u8(out, e->kind);
	buf_varint(out, e->end - e->start);
	if (e->kind == EXTENT_STORED || (e->kind == EXTENT_LOST && e->ref.segment != 0)) {
		buf_varint(out, e->ref.segment >> 32);
		buf_varint(out, e->ref.segment & UINT32_MAX);
		buf_varint(out, e->ref.offset);
		buf_varint(out, e->ref.stored_bytes);
		buf_varint(out, e->ref.raw_bytes);
		buf_varint(out, e->raw_offset);
		buf_u8(out, e->ref.codec);
		buf_u64(out, e->ref.sum);
	} else if (e->kind == EXTENT_INLINE) {
		buf_add(out, e->bytes, e->end - e->start);
	}
}

static bool stored_is_sane(const struct extent *e, uint64_t len)
{
	const struct data_ref *ref = &e->ref;

	if (data_ref_check(ref) < 0)
		return false;
	return len <= ref->raw_bytes && e->raw_offset <= ref->raw_bytes - len;
}

static bool decode_stored(struct rd *r, struct extent *e, uint64_t len)
{
	uint64_t epoch = rd_varint32(r);

	e->ref.segment = epoch << 32 | rd_varint32(r);
	e->ref.offset = rd_varint32(r);
	e->ref.stored_bytes = rd_varint32(r);
	e->ref.raw_bytes = rd_varint32(r);
	e->raw_offset = rd_varint32(r);
	e->ref.codec = rd_u8(r);
	e->ref.sum = rd_u64(r);
	return stored_is_sane(e, len);
}

int extent_decode(const void *data, size_t len, uint64_t end, struct extent *ret)
{
	struct extent e = { .end = end };
	bool sane = false;
	uint64_t bytes;
	struct rd r;
	int err;

	begin(&r, data, len);
	e.kind = rd_u8(&r);
	bytes = rd_varint(&r);
	e.start = end - bytes;
	if (bytes > 0 && bytes <= end && end <= FS_FILE_SIZE_MAX) {
		sane = true;
		if (e.kind == EXTENT_STORED)
			sane = decode_stored(&r, &e, bytes);
		else if (e.kind == EXTENT_INLINE)
			sane = (e.bytes = rd_take(&r, bytes <= INLINE_MAX ? bytes : SIZE_MAX));
		else if (e.kind == EXTENT_LOST)
			sane = rd_left(&r) == 0 || decode_stored(&r, &e, bytes);
		else
			sane = e.kind == EXTENT_UNWRITTEN;
	}
	err = finish(&r, sane, "extent", end);
	if (err < 0)
		return err;
	*ret = e;
	return 0;
}

void totals_encode(struct buf *out, const struct totals *t)
{
	buf_u8(out, RECORD_VERSION);
	buf_varint(out, t->next_ino);
	buf_varint(out, t->inodes);
	buf_varint(out, t->used_bytes);
}

int totals_decode(const void *data, size_t len, struct totals *ret)
{
	struct totals t;
	struct rd r;
	int err;

	begin(&r, data, len);
	t.next_ino = rd_varint(&r);
	t.inodes = rd_varint(&r);
	t.used_bytes = rd_varint(&r);
	err = finish(&r, t.next_ino > FS_ROOT_INO, "totals", 0);
	if (err < 0)
		return err;
	*ret = t;
	return 0;
}

void seg_encode(struct buf *out, const struct seg_record *s)
{
	buf_u8(out, s->referenced ? REFERENCED_VERSION : RECORD_VERSION);
	buf_varint(out, s->live_bytes);
	buf_varint(out, s->total_bytes);
	if (s->referenced)
		buf_varint(out, s->shared_bytes);
}

int seg_decode(const void *data, size_t len, struct seg_record *ret)
{
	struct seg_record s = { 0 };
	struct rd r;
	uint8_t version;
	int err;

	rd_init(&r, data, len);
	version = rd_u8(&r);
	s.referenced = version == REFERENCED_VERSION;
	s.live_bytes = rd_varint(&r);
	s.total_bytes = rd_varint(&r);
	if (s.referenced)
		s.shared_bytes = rd_varint(&r);
	err = finish_of(&r, s.referenced || version == RECORD_VERSION, REFERENCED_VERSION,
			"segment", 0);
	if (err < 0)
		return err;
	*ret = s;
	return 0;
}

void reference_encode(struct buf *out, const struct reference *ref)
{
	buf_u8(out, RECORD_VERSION);
	buf_varint(out, ref->start);
	buf_varint(out, ref->end);
}

int reference_decode(const void *data, size_t len, struct reference *ret)
{
	struct reference ref;
	struct rd r;
	int err;

	begin(&r, data, len);
	ref.start = rd_varint(&r);
	ref.end = rd_varint(&r);
	err = finish(&r, ref.start < ref.end && ref.end <= FS_FILE_SIZE_MAX, "reference", ref.start);
	if (err < 0)
		return err;
	*ret = ref;
	return 0;
}

void shift_encode(struct buf *out, const struct shift *s)
{
	buf_u8(out, RECORD_VERSION);
	buf_u8(out, s->insert ? 1 : 0);
	buf_varint(out, s->from);
	buf_varint(out, s->len);
	buf_varint(out, s->at);
}

static bool shift_is_sane(const struct shift *s)
{
	if (s->len == 0 || s->at > FS_FILE_SIZE_MAX || s->len > FS_FILE_SIZE_MAX)
		return false;
	return s->insert ? s->from <= s->at : s->at >= s->len && s->from <= s->at - s->len;
}

int shift_decode(const void *data, size_t len, struct shift *ret)
{
	struct shift s;
	uint8_t insert;
	struct rd r;
	int err;

	begin(&r, data, len);
	insert = rd_u8(&r);
	s.insert = insert;
	s.from = rd_varint(&r);
	s.len = rd_varint(&r);
	s.at = rd_varint(&r);
	err = finish(&r, insert <= 1 && shift_is_sane(&s), "shift", s.from);
	if (err < 0)
		return err;
	*ret = s;
	return 0;
}

void orphan_encode(struct buf *out, const struct orphan_record *o)
{
	buf_u8(out, RECORD_VERSION);
	buf_u8(out, o->whole ? 1 : 0);
	buf_varint(out, o->trim_from);
}

int orphan_decode(const void *data, size_t len, struct orphan_record *ret)
{
	struct orphan_record o;
	uint8_t whole;
	struct rd r;
	int err;

	begin(&r, data, len);
	whole = rd_u8(&r);
	o.whole = whole;
	o.trim_from = rd_varint(&r);
	err = finish(&r, whole <= 1 && o.trim_from <= FS_FILE_SIZE_MAX, "orphan", 0);
	if (err < 0)
		return err;
	*ret = o;
	return 0;
}

void xattr_encode(struct buf *out, const void *value, size_t len)
{
	buf_u8(out, RECORD_VERSION);
	buf_add(out, value, len);
}

int xattr_decode(const void *data, size_t len, const uint8_t **ret_value, size_t *ret_len)
{
	const uint8_t *value;
	struct rd r;
	int err;

	begin(&r, data, len);
	value = rd_take(&r, rd_left(&r));
	err = finish(&r, len <= FS_XATTR_SIZE_MAX + 1, "extended attribute", 0);
	if (err < 0)
		return err;
	*ret_value = value;
	*ret_len = len - 1;
	return 0;
}
