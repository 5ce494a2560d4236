/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * index: what a data file of the disk tier holds. The file is only appended to:
 *
 *	0  8  magic "l3cache1"
 *	8  2  length of the key
 *	10    the object's key, then 8 bytes XXH3-64 of all before
 *	then records of 32 bytes:
 *	0  8  offset of the piece, in the object and in the data file
 *	8  8  length
 *	16 8  XXH3-64 of the piece
 *	24 8  XXH3-64 of the record's first 24 bytes
 *
 * A later record replaces earlier ones that it overlaps. Nothing is synced: a record that reached
 * the disk before its piece shows by the piece's checksum. A damaged record is left out; a damaged
 * head, or a tail that is no whole record, makes the file worthless.
 */
#include "cache/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define RECORD_BYTES 32
#define INDEX_MAX_BYTES (16 * MIB)

static const char magic[8] = { 'l', '3', 'c', 'a', 'c', 'h', 'e', '1' };

/* ---- the list ---- */

void pieces_release(struct piece_list *l)
{
	free(l->pieces);
	*l = (struct piece_list){ NULL, 0, 0 };
}

size_t pieces_find(const struct piece_list *l, uint64_t offset)
{
	size_t low = 0, high = l->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (span_end(&l->pieces[mid].at) > offset)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static void remove_some(struct piece_list *l, size_t from, size_t to)
{
	memmove(&l->pieces[from], &l->pieces[to], (l->count - to) * sizeof(l->pieces[0]));
	l->count -= to - from;
}

void pieces_remove(struct piece_list *l, size_t at)
{
	remove_some(l, at, at + 1);
}

int pieces_set(struct piece_list *l, const struct disk_piece *p)
{
	size_t from, to;

	if (l->count == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 16;
		struct disk_piece *pieces = realloc(l->pieces, cap * sizeof(pieces[0]));

		if (!pieces)
			return -ENOMEM;
		l->pieces = pieces;
		l->cap = cap;
	}
	from = to = pieces_find(l, p->at.offset);
	while (to < l->count && l->pieces[to].at.offset < span_end(&p->at))
		to++;
	if (to > from)
		remove_some(l, from, to);
	memmove(&l->pieces[from + 1], &l->pieces[from], (l->count - from) * sizeof(l->pieces[0]));
	l->pieces[from] = *p;
	l->count++;
	return 0;
}

/* ---- the file ---- */

static void put_head(struct buf *out, const char *key)
{
	buf_add(out, magic, sizeof(magic));
	buf_u16(out, (uint16_t)strlen(key));
	buf_add_str(out, key);
	buf_u64(out, XXH3_64bits(out->data, out->len));
}

static void put_record(struct buf *out, const struct disk_piece *p)
{
	uint8_t r[RECORD_BYTES];

	put_u64(r, p->at.offset);
	put_u64(r + 8, p->at.len);
	put_u64(r + 16, p->sum);
	put_u64(r + 24, XXH3_64bits(r, 24));
	buf_add(out, r, sizeof(r));
}

static bool get_record(const uint8_t *r, struct disk_piece *ret)
{
	*ret = (struct disk_piece){ { get_u64(r), get_u64(r + 8) }, get_u64(r + 16) };
	return get_u64(r + 24) == XXH3_64bits(r, 24) && ret->at.len > 0 &&
	       ret->at.len <= PIECE_BYTES - ret->at.offset % PIECE_BYTES;
}

static int read_file(int fd, struct buf *out)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || (uint64_t)st.st_size > INDEX_MAX_BYTES)
		return -L3_CORRUPT;
	if (buf_reserve(out, (size_t)st.st_size) < 0)
		return -ENOMEM;
	n = pread(fd, out->data, (size_t)st.st_size, 0);
	if (n < 0)
		return -errno;
	out->len = (size_t)n;
	return 0;
}

int index_load(int fd, const char *key, struct piece_list *ret)
{
	struct buf head CLEANUP(buf_release) = BUF_INIT;
	struct buf data CLEANUP(buf_release) = BUF_INIT;
	struct piece_list found = { NULL, 0, 0 };
	int err = read_file(fd, &data);

	put_head(&head, key);
	if (err >= 0)
		err = buf_error(&head);
	if (err < 0)
		return err;
	if (data.len < head.len || memcmp(data.data, head.data, head.len) != 0 ||
	    (data.len - head.len) % RECORD_BYTES != 0)
		return -L3_CORRUPT;
	for (size_t at = head.len; at < data.len && err >= 0; at += RECORD_BYTES) {
		struct disk_piece p;

		if (get_record(data.data + at, &p))
			err = pieces_set(&found, &p);
	}
	if (err < 0) {
		pieces_release(&found);
		return err;
	}
	*ret = found;
	return 0;
}

int index_append(int fd, const char *key, bool is_new, const struct disk_piece *pieces, size_t count,
		 uint64_t *ret_file_bytes)
{
	struct buf bytes CLEANUP(buf_release) = BUF_INIT;
	struct stat st;
	ssize_t n;

	if (is_new)
		put_head(&bytes, key);
	for (size_t i = 0; i < count; i++)
		put_record(&bytes, &pieces[i]);
	if (buf_error(&bytes) < 0)
		return -ENOMEM;
	n = write(fd, bytes.data, bytes.len);
	if (n < 0 || fstat(fd, &st) < 0)
		return -errno;
	*ret_file_bytes = (uint64_t)st.st_blocks * 512;
	return (size_t)n == bytes.len ? 0 : -ENOSPC;
}
