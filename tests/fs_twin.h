/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Twins: a file and an array that must stay equal, whatever is done to both. What the operations
 * mean is said here once, in the simplest way.
 */
#ifndef LEVELS3_TESTS_FS_TWIN_H
#define LEVELS3_TESTS_FS_TWIN_H

#include "fs_clean.h"

#include <fcntl.h>
#include <unistd.h>

#define TWIN_MAX (6 * MIB)

struct twin {
	uint64_t ino;
	uint8_t *bytes; /* TWIN_MAX; zeros behind the size */
	size_t size;
};

static inline void twin_make(struct twin *t, const char *name)
{
	t->ino = make_file(FS_ROOT_INO, name);
	t->bytes = calloc(1, TWIN_MAX);
	t->size = 0;
}

static inline void twin_free(struct twin *t)
{
	free(t->bytes);
}

static inline struct fs_file *twin_open(const struct twin *t)
{
	struct fs_file *f;

	must(fs_file_open(fs, t->ino, true, false, &f), "open file");
	return f;
}

static inline void twin_grow(struct twin *t, size_t end)
{
	ck_assert_uint_le(end, TWIN_MAX);
	t->size = max_u64(t->size, end);
}

static inline void twin_write(struct twin *t, size_t len, size_t offset, uint64_t seed)
{
	twin_grow(t, offset + len);
	fill(t->bytes + offset, len, seed);
	write_at(t->ino, t->bytes + offset, len, offset);
}

static inline int64_t twin_copy(struct twin *from, size_t from_offset, struct twin *to,
				size_t to_offset, size_t len)
{
	struct fs_file *in = twin_open(from), *out = twin_open(to);
	int64_t done = fs_copy_range(in, from_offset, out, to_offset, len);

	fs_file_close(in);
	fs_file_close(out);
	if (done <= 0)
		return done;
	twin_grow(to, to_offset + (size_t)done);
	memmove(to->bytes + to_offset, from->bytes + from_offset, (size_t)done);
	return done;
}

static inline int twin_allocate(struct twin *t, int mode, size_t offset, size_t len)
{
	struct fs_file *f = twin_open(t);
	int err = fs_fallocate(f, mode, offset, len);

	fs_file_close(f);
	if (err < 0)
		return err;
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		twin_grow(t, offset + len);
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) && offset < t->size)
		memset(t->bytes + offset, 0, min_u64(len, t->size - offset));
	return err;
}

/* COLLAPSE_RANGE or INSERT_RANGE, where they are allowed. */
static inline void twin_shift(struct twin *t, bool insert, size_t offset, size_t len)
{
	if (insert) {
		twin_grow(t, t->size + len);
		memmove(t->bytes + offset + len, t->bytes + offset, t->size - len - offset);
		memset(t->bytes + offset, 0, len);
	} else {
		memmove(t->bytes + offset, t->bytes + offset + len, t->size - offset - len);
		memset(t->bytes + t->size - len, 0, len);
		t->size -= len;
	}
}

static inline int twin_collapse(struct twin *t, size_t offset, size_t len)
{
	struct fs_file *f = twin_open(t);
	int err = fs_fallocate(f, FALLOC_FL_COLLAPSE_RANGE, offset, len);

	fs_file_close(f);
	if (err >= 0)
		twin_shift(t, false, offset, len);
	return err;
}

static inline int twin_insert(struct twin *t, size_t offset, size_t len)
{
	struct fs_file *f = twin_open(t);
	int err = fs_fallocate(f, FALLOC_FL_INSERT_RANGE, offset, len);

	fs_file_close(f);
	if (err >= 0)
		twin_shift(t, true, offset, len);
	return err;
}

static inline void twin_truncate(struct twin *t, size_t size)
{
	struct fs_attr attr = { .size = size };

	must(fs_setattr(fs, t->ino, &attr, FS_SET_SIZE, NULL), "truncate");
	if (size < t->size)
		memset(t->bytes + size, 0, t->size - size);
	t->size = size;
}

static inline void twin_check(const struct twin *t)
{
	uint8_t *got = malloc(TWIN_MAX);
	size_t len = read_at(t->ino, got, TWIN_MAX, 0), n = 0;

	ck_assert_uint_eq(attr_of(t->ino).size, t->size);
	ck_assert_uint_eq(len, t->size);
	while (n < len && got[n] == t->bytes[n])
		n++;
	ck_assert_msg(n == len, "inode %llu: byte %zu of %zu is %02x instead of %02x",
		      (unsigned long long)t->ino, n, len, got[n], t->bytes[n]);
	free(got);
}

#endif
