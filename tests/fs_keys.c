/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The stored form of keys and values: what is encoded comes back, damaged bytes never do harm, and
 * format version 1 stays what it is.
 */
#include "fs/internal.h"
#include "runner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct attr some_inode = {
	.mode = S_IFREG | 0644,
	.uid = 1000,
	.gid = 100,
	.nlink = 2,
	.size = 123456789,
	.alloc_bytes = 131072,
	.atime_ns = 1700000000123456789,
	.mtime_ns = 1700000001000000000,
	.ctime_ns = 1700000002000000001,
	.btime_ns = -1,
	.flags = INODE_HAS_XATTR,
};

static const struct extent some_extent = {
	.start = 1000,
	.end = 5096,
	.kind = EXTENT_STORED,
	.ref = { .segment = (uint64_t)7 << 32 | 42,
		 .offset = 64,
		 .stored_bytes = 3000,
		 .raw_bytes = 8192,
		 .codec = DATA_LZ4,
		 .sum = 0x0123456789abcdef },
	.raw_offset = 96,
};

static struct attr symlink_inode(void)
{
	struct attr a = some_inode;

	a.mode = S_IFLNK | 0777;
	a.size = 6;
	buf_add_str(&a.target, "../far");
	return a;
}

/* ---- coming back ---- */

START_TEST(an_inode_comes_back_as_it_was)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct attr back;

	inode_encode(&b, &some_inode, 77);
	ck_assert_int_eq(inode_decode(b.data, b.len, 5, &back), 0);
	ck_assert_uint_eq(back.mode, some_inode.mode);
	ck_assert_uint_eq(back.uid, 1000);
	ck_assert_uint_eq(back.gid, 100);
	ck_assert_uint_eq(back.nlink, 2);
	ck_assert_uint_eq(back.size, 77);
	ck_assert_uint_eq(back.alloc_bytes, 131072);
	ck_assert_int_eq(back.atime_ns, some_inode.atime_ns);
	ck_assert_int_eq(back.mtime_ns, some_inode.mtime_ns);
	ck_assert_int_eq(back.ctime_ns, some_inode.ctime_ns);
	ck_assert_int_eq(back.btime_ns, -1);
	ck_assert_uint_eq(back.flags, INODE_HAS_XATTR);
	ck_assert_uint_eq(back.target.len, 0);
}
END_TEST

START_TEST(a_symlink_keeps_its_target)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct attr a = symlink_inode(), back;

	inode_encode(&b, &a, a.size);
	ck_assert_int_eq(inode_decode(b.data, b.len, 5, &back), 0);
	ck_assert_uint_eq(back.target.len, 6);
	ck_assert_mem_eq(back.target.data, "../far", 6);
	buf_release(&a.target);
	buf_release(&back.target);
}
END_TEST

START_TEST(a_directory_entry_comes_back_as_it_was)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct dentry d;

	dentry_encode(&b, 8, 99, "name", 4);
	ck_assert_int_eq(dentry_decode(b.data, b.len, &d), 0);
	ck_assert_uint_eq(d.type, 8);
	ck_assert_uint_eq(d.ino, 99);
	ck_assert_uint_eq(d.name_len, 4);
	ck_assert_mem_eq(d.name, "name", 4);
}
END_TEST

START_TEST(each_kind_of_extent_comes_back_as_it_was)
{
	struct extent tiny = {
		.start = 10, .end = 13, .kind = EXTENT_INLINE, .bytes = (const uint8_t *)"abc"
	};
	struct extent empty = { .start = 0, .end = (uint64_t)1 << 40, .kind = EXTENT_UNWRITTEN };
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct extent back;

	extent_encode(&b, &some_extent);
	ck_assert_int_eq(extent_decode(b.data, b.len, some_extent.end, &back), 0);
	ck_assert_uint_eq(back.start, some_extent.start);
	ck_assert_uint_eq(back.ref.segment, some_extent.ref.segment);
	ck_assert_uint_eq(back.ref.offset, some_extent.ref.offset);
	ck_assert_uint_eq(back.ref.stored_bytes, some_extent.ref.stored_bytes);
	ck_assert_uint_eq(back.ref.raw_bytes, some_extent.ref.raw_bytes);
	ck_assert_uint_eq(back.ref.codec, some_extent.ref.codec);
	ck_assert_uint_eq(back.ref.sum, some_extent.ref.sum);
	ck_assert_uint_eq(back.raw_offset, some_extent.raw_offset);
	buf_reset(&b);
	extent_encode(&b, &tiny);
	ck_assert_int_eq(extent_decode(b.data, b.len, 13, &back), 0);
	ck_assert_uint_eq(back.start, 10);
	ck_assert_mem_eq(back.bytes, "abc", 3);
	buf_reset(&b);
	extent_encode(&b, &empty);
	ck_assert_int_eq(extent_decode(b.data, b.len, empty.end, &back), 0);
	ck_assert_uint_eq(back.start, 0);
	ck_assert_uint_eq(back.kind, EXTENT_UNWRITTEN);
}
END_TEST

START_TEST(counters_come_back_as_they_were)
{
	struct totals t = { 1000, 900, (uint64_t)1 << 50 }, t_back;
	struct seg_record s = { .live_bytes = 5, .total_bytes = 16777216 }, s_back;
	struct reference r = { 70000, 4096000 }, r_back;
	struct shift m = { true, 4096, 8192, FS_FILE_SIZE_MAX }, m_back;
	struct orphan_record o = { false, 4096 }, o_back;
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	totals_encode(&b, &t);
	ck_assert_int_eq(totals_decode(b.data, b.len, &t_back), 0);
	ck_assert_mem_eq(&t, &t_back, sizeof(t));
	buf_reset(&b);
	seg_encode(&b, &s);
	ck_assert_int_eq(seg_decode(b.data, b.len, &s_back), 0);
	ck_assert_uint_eq(s_back.live_bytes, 5);
	ck_assert_uint_eq(s_back.total_bytes, 16777216);
	ck_assert(!s_back.referenced);
	buf_reset(&b);
	s.referenced = true;
	s.shared_bytes = 12345;
	seg_encode(&b, &s);
	ck_assert_int_eq(seg_decode(b.data, b.len, &s_back), 0);
	ck_assert_uint_eq(s_back.total_bytes, 16777216);
	ck_assert_uint_eq(s_back.shared_bytes, 12345);
	ck_assert(s_back.referenced);
	buf_reset(&b);
	reference_encode(&b, &r);
	ck_assert_int_eq(reference_decode(b.data, b.len, &r_back), 0);
	ck_assert_mem_eq(&r, &r_back, sizeof(r));
	buf_reset(&b);
	shift_encode(&b, &m);
	ck_assert_int_eq(shift_decode(b.data, b.len, &m_back), 0);
	ck_assert(m_back.insert);
	ck_assert_uint_eq(m_back.from, m.from);
	ck_assert_uint_eq(m_back.len, m.len);
	ck_assert_uint_eq(m_back.at, m.at);
	buf_reset(&b);
	orphan_encode(&b, &o);
	ck_assert_int_eq(orphan_decode(b.data, b.len, &o_back), 0);
	ck_assert(!o_back.whole);
	ck_assert_uint_eq(o_back.trim_from, 4096);
}
END_TEST

/* ---- damage ---- */

enum record {
	INODE,
	SYMLINK,
	DENTRY,
	STORED,
	INLINED,
	TOTALS,
	SEGMENT,
	REFERENCED,
	REFERENCE,
	SHIFT,
	ORPHAN,
	XATTR,
	RECORDS
};

static void encode(enum record kind, struct buf *b)
{
	struct extent tiny = {
		.start = 10, .end = 13, .kind = EXTENT_INLINE, .bytes = (const uint8_t *)"abc"
	};
	struct attr a = symlink_inode();

	switch (kind) {
	case INODE:
		inode_encode(b, &some_inode, 1);
		break;
	case SYMLINK:
		inode_encode(b, &a, a.size);
		break;
	case DENTRY:
		dentry_encode(b, 8, 99, "some name", 9);
		break;
	case STORED:
		extent_encode(b, &some_extent);
		break;
	case INLINED:
		extent_encode(b, &tiny);
		break;
	case TOTALS:
		totals_encode(b, &(struct totals){ 1000, 900, 12345 });
		break;
	case SEGMENT:
		seg_encode(b, &(struct seg_record){ .live_bytes = 5, .total_bytes = 70000 });
		break;
	case REFERENCED:
		seg_encode(b, &(struct seg_record){ 5, 70000, 4096, true });
		break;
	case REFERENCE:
		reference_encode(b, &(struct reference){ 5, 70000 });
		break;
	case SHIFT:
		shift_encode(b, &(struct shift){ false, 4096, 8192, 70000 });
		break;
	case XATTR:
		xattr_encode(b, "value", 5);
		break;
	default:
		orphan_encode(b, &(struct orphan_record){ false, 70000 });
		break;
	}
	buf_release(&a.target);
}

/* 0 or -L3_CORRUPT; what comes back is safe to use. */
static int decode(enum record kind, const uint8_t *bytes, size_t len)
{
	const uint8_t *value;
	struct orphan_record o;
	struct seg_record s;
	struct reference ref;
	struct shift shift;
	size_t value_len;
	struct totals t;
	struct dentry d;
	struct extent e;
	struct attr a = { 0 };
	int err;

	switch (kind) {
	case INODE:
	case SYMLINK:
		err = inode_decode(bytes, len, 5, &a);
		buf_release(&a.target);
		return err;
	case DENTRY:
		err = dentry_decode(bytes, len, &d);
		if (err == 0)
			ck_assert(d.name_len <= FS_NAME_MAX && d.name_len <= len);
		return err;
	case STORED:
	case INLINED:
		err = extent_decode(bytes, len, kind == STORED ? some_extent.end : 13, &e);
		if (err == 0)
			ck_assert(e.start < e.end);
		if (err == 0 && e.kind == EXTENT_STORED)
			ck_assert(e.raw_offset + (e.end - e.start) <= e.ref.raw_bytes &&
				  e.ref.raw_bytes <= DATA_EXTENT_MAX);
		if (err == 0 && e.kind == EXTENT_INLINE)
			ck_assert(e.bytes + (e.end - e.start) <= bytes + len);
		return err;
	case TOTALS:
		return totals_decode(bytes, len, &t);
	case SEGMENT:
	case REFERENCED:
		return seg_decode(bytes, len, &s);
	case REFERENCE:
		err = reference_decode(bytes, len, &ref);
		if (err == 0)
			ck_assert(ref.start < ref.end && ref.end <= FS_FILE_SIZE_MAX);
		return err;
	case SHIFT:
		err = shift_decode(bytes, len, &shift);
		if (err == 0)
			ck_assert(shift.len > 0 && shift.from <= shift.at &&
				  shift.at <= FS_FILE_SIZE_MAX);
		return err;
	case XATTR:
		err = xattr_decode(bytes, len, &value, &value_len);
		if (err == 0)
			ck_assert(value + value_len <= bytes + len);
		return err;
	default:
		return orphan_decode(bytes, len, &o);
	}
}

/* A copy of exactly the length, so that the sanitizer sees a read behind the end. */
static int decode_copy(enum record kind, const uint8_t *bytes, size_t len)
{
	uint8_t *copy = calloc(1, len ? len : 1);
	int err;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, bytes, len);
	err = decode(kind, copy, len);
	free(copy);
	return err;
}

START_TEST(a_record_cut_short_is_refused)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	encode((enum record)_i, &b);
	for (size_t len = 0; len < b.len; len++)
		ck_assert_int_eq(decode_copy((enum record)_i, b.data, len), -L3_CORRUPT);
}
END_TEST

START_TEST(a_record_with_bytes_behind_it_is_refused)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	encode((enum record)_i, &b);
	buf_u8(&b, 0);
	ck_assert_int_eq(decode_copy((enum record)_i, b.data, b.len), -L3_CORRUPT);
}
END_TEST

START_TEST(a_record_with_any_byte_changed_does_no_harm)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	encode((enum record)_i, &b);
	for (size_t at = 0; at < b.len; at++) {
		uint8_t was = b.data[at];

		for (unsigned v = 0; v < 256; v++) {
			int err;

			b.data[at] = (uint8_t)v;
			err = decode_copy((enum record)_i, b.data, b.len);
			ck_assert(err == 0 || err == -L3_CORRUPT);
		}
		b.data[at] = was;
	}
}
END_TEST

START_TEST(a_record_of_an_unknown_version_is_refused)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	encode((enum record)_i, &b);
	b.data[0] = 3;
	ck_assert_int_eq(decode_copy((enum record)_i, b.data, b.len), -L3_CORRUPT);
}
END_TEST

START_TEST(an_attribute_may_be_of_any_length_up_to_the_limit_but_has_a_version)
{
	uint8_t *record = calloc(1, FS_XATTR_SIZE_MAX + 2);

	record[0] = 1;
	ck_assert_int_eq(decode_copy(XATTR, record, 0), -L3_CORRUPT);
	ck_assert_int_eq(decode_copy(XATTR, record, 1), 0);
	ck_assert_int_eq(decode_copy(XATTR, record, FS_XATTR_SIZE_MAX + 1), 0);
	ck_assert_int_eq(decode_copy(XATTR, record, FS_XATTR_SIZE_MAX + 2), -L3_CORRUPT);
	free(record);
}
END_TEST

START_TEST(an_extent_cannot_begin_before_the_file)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct extent e;

	extent_encode(&b, &some_extent);
	ck_assert_int_eq(extent_decode(b.data, b.len, 4095, &e), -L3_CORRUPT);
	ck_assert_int_eq(extent_decode(b.data, b.len, UINT64_MAX, &e), -L3_CORRUPT);
}
END_TEST

/* ---- version 1 for ever ---- */

static void same_bytes(const struct buf *b, const char *hex)
{
	char got[1024] = "";

	ck_assert_uint_lt(b->len * 2, sizeof(got));
	for (size_t n = 0; n < b->len; n++)
		(void)snprintf(got + 2 * n, 3, "%02x", b->data[n]);
	ck_assert_str_eq(got, hex);
}

static const char *const golden[RECORDS] = {
	[INODE] = "01a48302e8076402000180800815cd853dfe9c971700cac471fe9c971701945fadfe9c9717"
		  "ffffffffffffffff00000100",
	[DENTRY] = "01086309736f6d65206e616d65",
	[STORED] = "01008020072a40b81780406001efcdab8967452301",
	[INLINED] = "010103616263",
	[TOTALS] = "01e8078407b960",
	[SEGMENT] = "0105f0a204",
	[REFERENCED] = "0205f0a2048020",
	[REFERENCE] = "0105f0a204",
	[SHIFT] = "010080208040f0a204",
	[ORPHAN] = "0100f0a204",
	[XATTR] = "0176616c7565",
};

START_TEST(records_of_version_1_have_the_bytes_that_they_always_had)
{
	for (int kind = 0; kind < RECORDS; kind++) {
		struct buf b CLEANUP(buf_release) = BUF_INIT;

		if (!golden[kind])
			continue;
		encode((enum record)kind, &b);
		same_bytes(&b, golden[kind]);
	}
}
END_TEST

static void same_key(const struct key *k, const char *hex)
{
	struct buf b = { .data = (uint8_t *)k->bytes, .len = k->len };

	same_bytes(&b, hex);
}

START_TEST(keys_are_what_they_always_were_and_sort_by_number)
{
	struct fs fs = { .super = { .hash_seed = 42 } };
	struct key k, next;

	key_inode(&k, 258);
	same_key(&k, "490000000000000102");
	key_dentry(&k, 1, 0x1234);
	same_key(&k, "4400000000000000010000000000001234");
	key_extent(&k, 3, 4096);
	same_key(&k, "4500000000000000030000000000001000");
	key_xattr(&k, 3, "user.a");
	same_key(&k, "580000000000000003757365722e61");
	key_segment(&k, (uint64_t)7 << 32 | 42);
	same_key(&k, "53000000070000002a");
	key_reference(&k, (uint64_t)7 << 32 | 42, 3);
	same_key(&k, "52000000070000002a0000000000000003");
	key_shift(&k, 9);
	same_key(&k, "540000000000000009");
	key_orphan(&k, 9);
	same_key(&k, "4f0000000000000009");
	key_totals(&k);
	same_key(&k, "4d");
	key_inode(&k, 255);
	key_inode(&next, 256);
	ck_assert_int_lt(memcmp(k.bytes, next.bytes, k.len), 0);
	ck_assert_uint_eq(key_cookie(&fs, "hello", 0), 6736544566904470528u);
}
END_TEST

START_TEST(cookies_are_positive_and_leave_room_for_the_dots)
{
	struct fs fs = { .super = { .hash_seed = 42 } };
	struct fs blind = { .hash_blind = UINT64_MAX };
	char name[32];

	for (unsigned n = 0; n < 10000; n++) {
		(void)snprintf(name, sizeof(name), "name-%u", n);
		ck_assert_uint_le(key_cookie(&fs, name, 255), INT64_MAX);
		ck_assert_uint_gt(key_cookie(&fs, name, 0), 2);
	}
	ck_assert_uint_eq(key_cookie(&blind, "a", 0), 256);
	ck_assert_uint_eq(key_cookie(&blind, "b", 3), 259);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("the stored form of a filesystem");
	TCase *back = tcase_create("coming back"), *damage = tcase_create("damage");
	TCase *version = tcase_create("version 1");

	tcase_add_test(back, an_inode_comes_back_as_it_was);
	tcase_add_test(back, a_symlink_keeps_its_target);
	tcase_add_test(back, a_directory_entry_comes_back_as_it_was);
	tcase_add_test(back, each_kind_of_extent_comes_back_as_it_was);
	tcase_add_test(back, counters_come_back_as_they_were);
	tcase_add_loop_test(damage, a_record_cut_short_is_refused, 0, XATTR);
	tcase_add_loop_test(damage, a_record_with_bytes_behind_it_is_refused, 0, XATTR);
	tcase_add_loop_test(damage, a_record_with_any_byte_changed_does_no_harm, 0, RECORDS);
	tcase_add_loop_test(damage, a_record_of_an_unknown_version_is_refused, 0, RECORDS);
	tcase_add_test(damage, an_attribute_may_be_of_any_length_up_to_the_limit_but_has_a_version);
	tcase_add_test(damage, an_extent_cannot_begin_before_the_file);
	tcase_add_test(version, records_of_version_1_have_the_bytes_that_they_always_had);
	tcase_add_test(version, keys_are_what_they_always_were_and_sort_by_number);
	tcase_add_test(version, cookies_are_positive_and_leave_room_for_the_dots);
	suite_add_tcase(s, back);
	suite_add_tcase(s, damage);
	suite_add_tcase(s, version);
	return run_suite(s);
}
