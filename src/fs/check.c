/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check: one look of fsck at all keys.
 *
 * It looks at one LevelDB snapshot, taken together with the counters in memory while no batch is
 * under way: so a filesystem in use can be checked, too. Scans go kind by kind through the keys;
 * what has to be compared between kinds is kept per inode (a sorted array) and per segment
 * (check_data.c). With c->mend, changes are written beside the snapshot (mend.c).
 */
#include "fs/check.h"
#include "fs/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull;

/* ---- scanning ---- */

static int scan_error(struct check *c, leveldb_iterator_t *it)
{
	char *msg = NULL;

	leveldb_iter_get_error(it, &msg);
	leveldb_iter_destroy(it);
	return msg ? db_error(c->fs->db, msg) : 0;
}

int check_scan(struct check *c, enum key_kind kind, const char *phase, check_key_fn fn)
{
	leveldb_iterator_t *it = leveldb_create_iterator(db_handle(c->fs->db), c->read);
	char first = (char)kind;
	int err = 0, it_err;

	c->done = 0;
	for (leveldb_iter_seek(it, &first, 1); err >= 0 && leveldb_iter_valid(it);
	     leveldb_iter_next(it)) {
		size_t key_len, len;
		const char *key = leveldb_iter_key(it, &key_len), *value;

		if (key_len == 0 || key[0] != first)
			break;
		value = leveldb_iter_value(it, &len);
		err = check_step(c, phase);
		if (err >= 0)
			err = fn(c, (const uint8_t *)key, key_len, value, len);
	}
	it_err = scan_error(c, it);
	return it_err < 0 ? it_err : err;
}

static bool kind_is_known(int kind)
{
	switch (kind) {
	case KEY_INODE:
	case KEY_DENTRY:
	case KEY_EXTENT:
	case KEY_XATTR:
	case KEY_SEGMENT:
	case KEY_REFERENCE:
	case KEY_SHIFT:
	case KEY_ORPHAN:
	case KEY_TOTALS:
		return true;
	default:
		return false;
	}
}

static int see_unknown(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		       size_t len)
{
	return mend_set_aside(c, key, key_len, value, len);
}

/* A seek to each first byte that no key should have. */
static int check_kinds(struct check *c)
{
	leveldb_iterator_t *it = leveldb_create_iterator(db_handle(c->fs->db), c->read);
	int err = 0, it_err;

	leveldb_iter_seek_to_first(it);
	while (leveldb_iter_valid(it) && err >= 0) {
		size_t len;
		const char *key = leveldb_iter_key(it, &len);
		int kind = len > 0 ? (uint8_t)key[0] : 0;
		char next = (char)(kind + 1);

		if (!kind_is_known(kind)) {
			check_problem(c, "unknown-key", 0,
				      "there are keys of the unknown kind 0x%02x", kind);
			err = check_scan(c, (enum key_kind)kind, "unknown keys", see_unknown);
		}
		if (kind == 255)
			break;
		leveldb_iter_seek(it, &next, 1);
	}
	it_err = scan_error(c, it);
	return it_err < 0 ? it_err : err;
}

/* ---- what there is of inodes ---- */

struct node *check_node(struct check *c, uint64_t ino)
{
	size_t low = 0, high = c->node_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (c->nodes[mid].ino < ino)
			low = mid + 1;
		else
			high = mid;
	}
	return low < c->node_count && c->nodes[low].ino == ino ? &c->nodes[low] : NULL;
}

static struct node *node_add(struct check *c)
{
	if (c->node_count == c->node_cap) {
		size_t cap = c->node_cap ? c->node_cap * 2 : 1024;
		struct node *more = realloc(c->nodes, cap * sizeof(*more));

		if (!more)
			return NULL;
		c->nodes = more;
		c->node_cap = cap;
	}
	return &c->nodes[c->node_count++];
}

struct ghost *check_ghost(struct check *c, uint64_t ino)
{
	struct ghost *g;

	c->last_ino = max_u64(c->last_ino, ino);
	HASH_FIND(hh, c->ghosts, &ino, sizeof(ino), g);
	if (g)
		return g;
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->ino = ino;
	HASH_ADD(hh, c->ghosts, ino, sizeof(g->ino), g);
	if (g->hh.tbl)
		return g;
	free(g);
	return NULL;
}

static void free_ghosts(struct check *c)
{
	struct ghost *g, *next;

	HASH_ITER (hh, c->ghosts, g, next) {
		HASH_DEL(c->ghosts, g);
		free(g);
	}
}

/* ---- inodes ---- */

static void check_inode(struct check *c, struct node *n, const struct attr *a)
{
	if (n->mode & ~(uint32_t)(S_IFMT | 07777)) {
		check_problem(c, "inode-mode", n->ino, "inode %llu has the impossible mode %#o",
			      (ull)n->ino, n->mode);
		n->fix |= FIX_MODE;
	}
	if (a->target.len > 0 && memchr(a->target.data, 0, a->target.len)) {
		check_problem(c, "symlink", n->ino,
			      "inode %llu is a symlink whose target has a NUL", (ull)n->ino);
		n->fix |= FIX_TARGET;
	}
	if (n->ino >= c->totals.next_ino)
		check_problem(c, "next-inode", n->ino,
			      "inode %llu is not below the next number to be given out, %llu",
			      (ull)n->ino, (ull)c->totals.next_ino);
}

static int bad_key(struct check *c, const char *what, const uint8_t *key, size_t key_len,
		   const char *value, size_t len)
{
	check_problem(c, "bad-record", 0, "%s has a key of %zu bytes", what, key_len);
	return mend_set_aside(c, key, key_len, value, len);
}

static int bad_value(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		     size_t len)
{
	uint64_t ino = get_u64_be(key + 1);

	check_problem(c, "bad-record", ino, "inode %llu: %s", (ull)ino, err_last_note());
	return mend_set_aside(c, key, key_len, value, len);
}

static int see_inode(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		     size_t len)
{
	struct attr a = { 0 };
	struct node *n;

	if (key_len != KEY_PREFIX_BYTES)
		return bad_key(c, "an inode", key, key_len, value, len);
	c->result.inodes++;
	c->last_ino = max_u64(c->last_ino, get_u64_be(key + 1));
	if (inode_decode(value, len, get_u64_be(key + 1), &a) < 0)
		return bad_value(c, key, key_len, value, len);
	n = node_add(c);
	if (n) {
		*n = (struct node){ .ino = get_u64_be(key + 1),
				    .size = a.size,
				    .parent = a.parent,
				    .entries_left = (int64_t)a.entries,
				    .alloc_left = (int64_t)a.alloc_bytes,
				    .mode = a.mode,
				    .nlink = a.nlink,
				    .flags = a.flags };
		check_inode(c, n, &a);
	}
	buf_release(&a.target);
	return n ? 0 : -ENOMEM;
}

static int see_orphan(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		      size_t len)
{
	struct orphan_record o;
	struct node *n;

	if (key_len != KEY_PREFIX_BYTES)
		return bad_key(c, "an orphan", key, key_len, value, len);
	c->result.orphans++;
	c->last_ino = max_u64(c->last_ino, get_u64_be(key + 1));
	if (orphan_decode(value, len, &o) < 0)
		return bad_value(c, key, key_len, value, len);
	n = check_node(c, get_u64_be(key + 1));
	if (!n) {
		check_problem(c, "orphan", get_u64_be(key + 1),
			      "inode %llu is to be removed or trimmed, and missing",
			      (ull)get_u64_be(key + 1));
		return mend_delete(c, key, key_len);
	}
	if (o.whole && n->nlink > 0) {
		check_problem(c, "orphan", n->ino, "inode %llu is to be removed, and has %u links",
			      (ull)n->ino, n->nlink);
		return mend_delete(c, key, key_len);
	}
	if (!o.whole && !S_ISREG(n->mode)) {
		check_problem(c, "orphan", n->ino,
			      "inode %llu is to be trimmed, and is no regular file", (ull)n->ino);
		return mend_delete(c, key, key_len);
	}
	n->orphan = o.whole;
	n->trim = !o.whole;
	return 0;
}

static int see_shift(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		     size_t len)
{
	struct shift s;
	struct node *n;

	if (key_len != KEY_PREFIX_BYTES)
		return bad_key(c, "a shift", key, key_len, value, len);
	if (shift_decode(value, len, &s) < 0)
		return bad_value(c, key, key_len, value, len);
	n = check_node(c, get_u64_be(key + 1));
	if (n && (n->flags & INODE_SHIFTING)) {
		n->shift = true;
		return 0;
	}
	check_problem(c, "shift", get_u64_be(key + 1), "inode %llu is being shifted, and %s",
		      (ull)get_u64_be(key + 1), n ? "its record denies it" : "missing");
	return mend_set_aside(c, key, key_len, value, len);
}

static bool is_acl(const char *name)
{
	return strcmp(name, ACL_ACCESS) == 0 || strcmp(name, ACL_DEFAULT) == 0;
}

/* 0, or what is wrong with it has been told: 1. */
static int check_xattr(struct check *c, const struct node *n, const char *name,
		       const uint8_t *bytes, size_t len)
{
	bool bad_name = strlen(name) == 0;

	if (bad_name)
		check_problem(c, "xattr", n->ino,
			      "inode %llu has an extended attribute with an impossible name",
			      (ull)n->ino);
	else if (is_acl(name) && acl_check(bytes, len) < 0)
		check_problem(c, "acl", n->ino, "inode %llu: its %s is not well-formed",
			      (ull)n->ino, name);
	else if (strcmp(name, ACL_DEFAULT) == 0 && !S_ISDIR(n->mode))
		check_problem(c, "acl", n->ino, "inode %llu has a default ACL, and is no folder",
			      (ull)n->ino);
	else
		return 0;
	return 1;
}

static int see_xattr(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		     size_t len)
{
	char name[FS_XATTR_NAME_MAX + 1] = "";
	const uint8_t *bytes;
	size_t bytes_len;
	struct ghost *g;
	struct node *n;

	if (key_len <= KEY_PREFIX_BYTES || key_len > KEY_PREFIX_BYTES + FS_XATTR_NAME_MAX)
		return bad_key(c, "an extended attribute", key, key_len, value, len);
	if (xattr_decode(value, len, &bytes, &bytes_len) < 0)
		return bad_value(c, key, key_len, value, len);
	n = check_node(c, get_u64_be(key + 1));
	if (!n) {
		check_problem(c, "inode-missing", get_u64_be(key + 1),
			      "inode %llu has an extended attribute, and is missing",
			      (ull)get_u64_be(key + 1));
		g = check_ghost(c, get_u64_be(key + 1));
		if (g)
			g->xattrs = true;
		return g ? 0 : -ENOMEM;
	}
	if (!memchr(key + KEY_PREFIX_BYTES, 0, key_len - KEY_PREFIX_BYTES))
		memcpy(name, key + KEY_PREFIX_BYTES, key_len - KEY_PREFIX_BYTES);
	if (check_xattr(c, n, name, bytes, bytes_len))
		return mend_set_aside(c, key, key_len, value, len);
	if (!(n->flags & INODE_HAS_XATTR)) {
		check_problem(c, "xattr", n->ino,
			      "inode %llu has an extended attribute, and its record denies it",
			      (ull)n->ino);
		n->flags |= INODE_HAS_XATTR; /* told once */
		n->fix |= FIX_FLAGS;
	}
	return 0;
}

/* ---- what all scans together say ---- */

static int check_counts(struct check *c, struct node *n)
{
	if ((n->flags & INODE_SHIFTING) && !n->shift) {
		check_problem(c, "shift", n->ino,
			      "inode %llu is being shifted, and no record says how: what is behind "
			      "may be in the wrong place",
			      (ull)n->ino);
		n->flags &= ~INODE_SHIFTING;
		n->fix |= FIX_FLAGS;
	}
	if (n->alloc_left == 0)
		return 0;
	check_problem(c, "allocated", n->ino, "inode %llu: its allocated bytes are wrong by %lld",
		      (ull)n->ino, (long long)n->alloc_left);
	n->fix |= FIX_ALLOC;
	return mend_gaps(c, n);
}

static int check_totals(struct check *c)
{
	int err = check_reach(c);

	for (size_t n = 0; n < c->node_count && err >= 0; n++)
		err = check_counts(c, &c->nodes[n]);
	if (c->totals.inodes != c->result.inodes)
		check_problem(c, "totals", 0, "there are %llu inodes, and the totals say %llu",
			      (ull)c->result.inodes, (ull)c->totals.inodes);
	if (c->totals.used_bytes != c->result.bytes)
		check_problem(c, "totals", 0, "extents have %llu bytes, and the totals say %llu",
			      (ull)c->result.bytes, (ull)c->totals.used_bytes);
	return err;
}

/* ---- the whole ---- */

/* Counters that are ahead of their records, as of the snapshot. Seal lock held. */
static int copy_counters(struct check *c)
{
	struct seg *s, *next;
	int err = 0;

	pthread_mutex_lock(&c->fs->totals_lock);
	c->totals = c->fs->totals;
	HASH_ITER (hh, c->fs->segs, s, next) {
		struct check_segment *seg = s->dirty ? check_segment_get(c, s->id) : NULL;

		if (seg) {
			seg->rec = s->rec;
			seg->has_record = true;
		} else if (s->dirty) {
			err = -ENOMEM;
		}
	}
	pthread_mutex_unlock(&c->fs->totals_lock);
	return err;
}

static int check_begin(struct check *c)
{
	int err;

	pthread_rwlock_wrlock(&c->fs->seal);
	c->snapshot = leveldb_create_snapshot(db_handle(c->fs->db));
	err = copy_counters(c);
	pthread_rwlock_unlock(&c->fs->seal);
	c->read = leveldb_readoptions_create();
	leveldb_readoptions_set_verify_checksums(c->read, 1);
	leveldb_readoptions_set_fill_cache(c->read, 0);
	leveldb_readoptions_set_snapshot(c->read, c->snapshot);
	return err;
}

static void check_end(struct check *c)
{
	leveldb_readoptions_destroy(c->read);
	leveldb_release_snapshot(db_handle(c->fs->db), c->snapshot);
	check_segments_free(c);
	free_ghosts(c);
	buf_release(&c->damage);
	free(c->nodes);
}

/* The stored totals are checked for being there; what counts is what is in memory. */
static int see_totals(struct check *c, const uint8_t *key, size_t key_len, const char *value,
		      size_t len)
{
	struct totals t;

	if (key_len != 1)
		return bad_key(c, "a totals record", key, key_len, value, len);
	if (totals_decode(value, len, &t) >= 0)
		return 0;
	check_problem(c, "bad-record", 0, "totals: %s", err_last_note());
	return mend_set_aside(c, key, key_len, value, len);
}

static int scan_all(struct check *c)
{
	int err = check_kinds(c);

	if (err >= 0)
		err = check_scan(c, KEY_TOTALS, "totals", see_totals);
	if (err >= 0)
		err = check_scan(c, KEY_INODE, "inodes", see_inode);
	if (err >= 0)
		err = check_scan(c, KEY_ORPHAN, "orphans", see_orphan);
	if (err >= 0)
		err = check_scan(c, KEY_SHIFT, "shifts", see_shift);
	if (err >= 0)
		err = check_entries(c);
	if (err >= 0)
		err = check_scan(c, KEY_XATTR, "extended attributes", see_xattr);
	if (err >= 0)
		err = check_extents(c);
	if (err >= 0)
		err = check_segments(c);
	if (err >= 0)
		err = check_references(c);
	return err;
}

static int check_all(struct check *c)
{
	int err = scan_all(c);

	if (err >= 0)
		err = check_objects(c);
	if (err >= 0)
		err = mend_from_indexes(c);
	if (err >= 0)
		err = check_totals(c);
	check_tell_damage(c);
	if (err >= 0)
		err = mend_ghosts(c);
	if (err >= 0)
		err = mend_nodes(c);
	return err < 0 ? err : mend_totals(c);
}

int check_run(struct fs *fs, const struct fs_check_options *options, struct mend *mend,
	      struct fs_check_result *ret)
{
	struct check c = { .fs = fs, .options = options };
	int err = mend ? mend_begin(mend, &c) : 0;

	if (err >= 0)
		err = check_begin(&c);
	else
		return err;
	if (err >= 0)
		err = check_all(&c);
	if (err >= 0 && mend)
		err = mend_end(mend);
	check_end(&c);
	if (ret)
		*ret = c.result;
	if (err < 0)
		return err;
	return c.result.problems > 0;
}

int fs_check(struct fs *fs, const struct fs_check_options *options, struct fs_check_result *ret)
{
	return check_run(fs, options, NULL, ret);
}
