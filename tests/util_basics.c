/* SPDX-License-Identifier: BSD-3-Clause */
/* util: notes of errors, buffers and cursors over hostile bytes, frames with every bit damaged. */
#include "util/util.h"
#include "runner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors ---- */

START_TEST(every_private_code_has_words_and_an_errno_of_its_own)
{
	for (int code = L3_FENCED; code < L3_PRIVATE_END; code++) {
		ck_assert_str_ne(err_text(-code), "unknown error");
		ck_assert_int_gt(err_to_errno(-code), 0);
		ck_assert_int_lt(err_to_errno(-code), 1000); /* libfuse takes no others */
		for (int other = L3_FENCED; other < code; other++)
			ck_assert_str_ne(err_text(-code), err_text(-other));
	}
	ck_assert_int_eq(err_to_errno(-L3_LEASE_HELD), EBUSY);
	ck_assert_int_eq(err_to_errno(-L3_DENIED), EACCES);
	ck_assert_int_eq(err_to_errno(-ENOSPC), ENOSPC);
	ck_assert_int_eq(err_to_errno(-L3_PRIVATE_END), EIO);
	ck_assert_int_eq(err_to_errno(0), 0);
	ck_assert_int_eq(err_to_errno(7), 0);
	ck_assert_str_eq(err_text(-ENOENT), "No such file or directory");
	ck_assert_ptr_nonnull(err_text(-123456));
}
END_TEST

START_TEST(only_what_another_try_may_mend_is_transient)
{
	static const int transient[] = { L3_THROTTLED, L3_UNREACHABLE, L3_SERVER, EINTR, EAGAIN };

	for (int code = 1; code < L3_PRIVATE_END; code++) {
		bool expected = false;

		for (size_t i = 0; i < ARRAY_LEN(transient); i++)
			expected |= code == transient[i];
		ck_assert_int_eq(err_is_transient(-code), expected);
	}
	ck_assert(!err_is_transient(0));
}
END_TEST

START_TEST(a_note_says_what_happened_and_callers_put_words_in_front)
{
	err_clear();
	ck_assert_str_eq(err_last_note(), "");
	ck_assert_int_eq(err_wrap(-ENOENT, "mount"), -ENOENT);
	ck_assert_str_eq(err_last_note(), "mount: No such file or directory");
	ck_assert_int_eq(err_note(-L3_DENIED, "GET %s: status %d", "lease", 403), -L3_DENIED);
	ck_assert_int_eq(err_wrap(-L3_DENIED, "opening %s", "s3://b"), -L3_DENIED);
	ck_assert_str_eq(err_last_note(), "opening s3://b: GET lease: status 403");
	(void)err_note(-EIO, "again: %s", err_last_note());
	ck_assert_str_eq(err_last_note(), "again: opening s3://b: GET lease: status 403");
}
END_TEST

/* Leaves no zero byte on the part of the stack that the next call uses. */
static __attribute__((noinline)) void soil_stack(void)
{
	volatile char dirt[8192];

	for (size_t i = 0; i < sizeof(dirt); i++)
		dirt[i] = 'x';
}

START_TEST(a_note_is_cut_where_its_room_ends)
{
	char *longest CLEANUP(free_ptr) = malloc(5000);
	size_t room;

	ck_assert_ptr_nonnull(longest);
	memset(longest, 'a', 4999);
	longest[4999] = '\0';
	(void)err_note(-EIO, "%s", longest);
	room = strlen(err_last_note());
	ck_assert_uint_ge(room, 511);
	ck_assert_uint_le(room, 1023);
	soil_stack();
	(void)err_note(-EIO, "short");
	soil_stack();
	(void)err_wrap(-EIO, "%s", longest);
	ck_assert_uint_eq(strlen(err_last_note()), room);
	(void)err_note(-EIO, "end");
	longest[room - 3] = '\0';
	(void)err_wrap(-EIO, "%s", longest);
	ck_assert_uint_eq(strlen(err_last_note()), room);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "a: e"));
}
END_TEST

static void *note_in_thread(void *arg)
{
	(void)err_note(-EIO, "another thread's");
	return NULL;
}

START_TEST(a_note_belongs_to_its_thread)
{
	pthread_t t;

	(void)err_note(-EIO, "mine");
	ck_assert_int_eq(pthread_create(&t, NULL, note_in_thread, NULL), 0);
	pthread_join(t, NULL);
	ck_assert_str_eq(err_last_note(), "mine");
}
END_TEST

/* ---- buffers ---- */

START_TEST(what_is_put_in_a_buffer_is_read_back_in_order)
{
	static const uint64_t varints[] = { 0,	       1,     127,	  128,
					    16383,     16384, UINT32_MAX, UINT64_MAX - 1,
					    UINT64_MAX };
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct rd r;
	size_t len;

	buf_u8(&b, 0xfe);
	buf_u16(&b, 0xfedc);
	buf_u32(&b, 0xfedcba98);
	buf_u64(&b, 0xfedcba9876543210);
	buf_u32_be(&b, 0xfedcba98);
	buf_u64_be(&b, 0xfedcba9876543210);
	for (size_t i = 0; i < ARRAY_LEN(varints); i++)
		buf_varint(&b, varints[i]);
	buf_bytes(&b, "abc", 3);
	buf_bytes(&b, NULL, 0);
	buf_add_str(&b, "xy");
	buf_printf(&b, "%d-%s", 42, "z");
	ck_assert_int_eq(buf_error(&b), 0);

	rd_init(&r, b.data, b.len);
	ck_assert_uint_eq(rd_u8(&r), 0xfe);
	ck_assert_uint_eq(rd_u16(&r), 0xfedc);
	ck_assert_uint_eq(rd_u32(&r), 0xfedcba98);
	ck_assert_uint_eq(rd_u64(&r), 0xfedcba9876543210);
	ck_assert_uint_eq(rd_u32_be(&r), 0xfedcba98);
	ck_assert_uint_eq(rd_u64_be(&r), 0xfedcba9876543210);
	for (size_t i = 0; i < ARRAY_LEN(varints); i++)
		ck_assert_uint_eq(rd_varint(&r), varints[i]);
	ck_assert_mem_eq(rd_bytes(&r, &len), "abc", 3);
	ck_assert_uint_eq(len, 3);
	ck_assert_ptr_nonnull(rd_bytes(&r, &len));
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(rd_error(&r), 0);
	ck_assert_int_eq(rd_done(&r), -L3_CORRUPT); /* there is more */
	ck_assert_uint_eq(rd_left(&r), 6);
	ck_assert_mem_eq(rd_take(&r, 6), "xy42-z", 6);
	ck_assert_int_eq(rd_done(&r), 0);
}
END_TEST

START_TEST(integers_are_stored_in_the_byte_order_their_name_says)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	buf_u16(&b, 0x0102);
	buf_u32(&b, 0x01020304);
	buf_u64(&b, 0x0102030405060708);
	buf_u32_be(&b, 0x01020304);
	buf_u64_be(&b, 0x0102030405060708);
	buf_varint(&b, 300);
	ck_assert_uint_eq(b.len, 28);
	ck_assert_mem_eq(b.data,
			 "\x02\x01\x04\x03\x02\x01\x08\x07\x06\x05\x04\x03\x02\x01"
			 "\x01\x02\x03\x04\x01\x02\x03\x04\x05\x06\x07\x08\xac\x02",
			 28);
}
END_TEST

START_TEST(a_buffer_never_grows_past_its_limit_and_remembers_that_it_failed)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	b.limit = 100;
	for (int i = 0; i < 100; i++)
		buf_u8(&b, (uint8_t)i);
	ck_assert_int_eq(buf_error(&b), 0);
	ck_assert_uint_eq(b.len, 100);
	ck_assert_int_eq(buf_reserve(&b, 1), -E2BIG);
	buf_u8(&b, 1);
	ck_assert_uint_eq(b.len, 100);
	ck_assert_uint_le(b.cap, 100);
	ck_assert_int_eq(buf_error(&b), -ENOMEM);
	ck_assert_int_eq(buf_reserve(&b, SIZE_MAX), -ENOMEM);
	buf_reset(&b);
	ck_assert_int_eq(buf_error(&b), 0);
	ck_assert_int_eq(buf_reserve(&b, SIZE_MAX), -E2BIG);
	buf_reset(&b);
	buf_u64(&b, 1);
	buf_printf(&b, "%0200d", 1);
	ck_assert_uint_eq(b.len, 8);
	ck_assert_int_eq(buf_error(&b), -ENOMEM);
}
END_TEST

START_TEST(a_buffer_can_be_seen_as_a_string)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	ck_assert_str_eq(buf_cstr(&b), "");
	buf_add_str(&b, "abc");
	ck_assert_str_eq(buf_cstr(&b), "abc");
	ck_assert_uint_eq(b.len, 3);
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%03d", i);
	ck_assert_uint_eq(strlen(buf_cstr(&b)), 3003);
}
END_TEST

/* Every reader at the end of what there is. */
static void read_past_end(struct rd *r)
{
	size_t len = 99;

	ck_assert_uint_eq(rd_u8(r), 0);
	ck_assert_uint_eq(rd_u16(r), 0);
	ck_assert_uint_eq(rd_u32(r), 0);
	ck_assert_uint_eq(rd_u64(r), 0);
	ck_assert_uint_eq(rd_u32_be(r), 0);
	ck_assert_uint_eq(rd_u64_be(r), 0);
	ck_assert_uint_eq(rd_varint(r), 0);
	ck_assert_ptr_null(rd_take(r, 1));
	ck_assert_ptr_null(rd_take(r, 0));
	ck_assert_ptr_null(rd_bytes(r, &len));
	ck_assert_uint_eq(len, 0);
	ck_assert_uint_eq(rd_left(r), 0);
	ck_assert_int_eq(rd_error(r), -L3_CORRUPT);
	ck_assert_int_eq(rd_done(r), -L3_CORRUPT);
}

START_TEST(a_cursor_that_failed_gives_zeros_and_stays_failed)
{
	uint8_t *three = malloc(3); /* of its own, so that a sanitizer sees any step beyond */
	struct rd r;

	ck_assert_ptr_nonnull(three);
	memset(three, 0xff, 3);
	rd_init(&r, three, 3);
	ck_assert_uint_eq(rd_u32(&r), 0);
	read_past_end(&r);
	rd_init(&r, three, 3);
	ck_assert_ptr_null(rd_take(&r, SIZE_MAX));
	read_past_end(&r);
	rd_init(&r, three, 3);
	ck_assert_uint_eq(rd_varint(&r), 0); /* its last byte is missing */
	read_past_end(&r);
	rd_init(&r, NULL, 0);
	ck_assert_int_eq(rd_done(&r), 0);
	ck_assert_ptr_nonnull(rd_take(&r, 0));
	ck_assert_uint_eq(rd_u8(&r), 0);
	read_past_end(&r);
	free(three);
}
END_TEST

START_TEST(hostile_lengths_and_varints_are_refused)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
		  "abc",
		  13 }, /* length 2^64-1 */
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
		  "abc",
		  12 }, /* length 2^63-1 */
		{ "\x04"
		  "abc",
		  4 },							/* one more than there is */
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10 },	/* 65 bits */
		{ "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 11 }, /* never ends */
		{ "\x80", 1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t *copy = malloc(cases[i].len);
		struct rd r;
		size_t len;

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, cases[i].bytes, cases[i].len);
		rd_init(&r, copy, cases[i].len);
		ck_assert_ptr_null(rd_bytes(&r, &len));
		ck_assert_uint_eq(len, 0);
		ck_assert_int_eq(rd_error(&r), -L3_CORRUPT);
		free(copy);
	}
}
END_TEST

/* ---- frames ---- */

static const struct uuid some_fs = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } };
static const struct uuid other_fs = { { 16, 2, 3 } };
#define PAYLOAD "the payload"
#define PAYLOAD_LEN (sizeof(PAYLOAD) - 1)

START_TEST(a_frame_gives_back_payload_and_uuid)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct uuid fs;
	struct rd r;

	frame_put(&b, FRAME_SLOT, &some_fs, PAYLOAD, PAYLOAD_LEN);
	ck_assert_uint_eq(b.len, FRAME_HEADER_BYTES + PAYLOAD_LEN);
	ck_assert_int_eq(frame_get(b.data, b.len, FRAME_SLOT, &some_fs, "x", &r, NULL), 0);
	ck_assert_mem_eq(rd_take(&r, PAYLOAD_LEN), PAYLOAD, PAYLOAD_LEN);
	ck_assert_int_eq(rd_done(&r), 0);
	ck_assert_int_eq(frame_get(b.data, b.len, FRAME_SLOT, NULL, "x", &r, &fs), 0);
	ck_assert_mem_eq(fs.bytes, some_fs.bytes, sizeof(fs.bytes));
	buf_reset(&b);
	frame_put(&b, FRAME_LEASE, &some_fs, NULL, 0);
	ck_assert_int_eq(frame_get(b.data, b.len, FRAME_LEASE, &some_fs, "x", &r, NULL), 0);
	ck_assert_int_eq(rd_done(&r), 0);
}
END_TEST

START_TEST(a_frame_has_the_bytes_that_the_format_page_describes)
{
	static const uint8_t golden[] = {
		/* clang-format off */
		0x89, 'l', 'e', 'v', 'e', 'l', 's', '3',	/* magic */
		'S', 'L', 'O', 'T',				/* type */
		1, 0, 0, 0,					/* version, zero */
		11, 0, 0, 0, 0, 0, 0, 0,			/* length of the payload */
		0xc9, 0x61, 0x51, 0x53, 0xcc, 0x65, 0xa6, 0xce, /* checksum of the payload */
		1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
		0xdf, 0xf6, 0xa1, 0x83, 0x62, 0xc5, 0x0d, 0xb8, /* checksum of what is above */
		't', 'h', 'e', ' ', 'p', 'a', 'y', 'l', 'o', 'a', 'd',
		/* clang-format on */
	};
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	frame_put(&b, FRAME_SLOT, &some_fs, PAYLOAD, PAYLOAD_LEN);
	ck_assert_uint_eq(b.len, sizeof(golden));
	for (size_t i = 0; i < sizeof(golden); i++)
		ck_assert_msg(b.data[i] == golden[i], "byte %zu is %02x", i, b.data[i]);
}
END_TEST

START_TEST(a_frame_with_any_bit_changed_or_any_end_cut_off_is_refused)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	struct rd r;

	frame_put(&b, FRAME_SLOT, &some_fs, PAYLOAD, PAYLOAD_LEN);
	for (size_t i = 0; i < b.len * 8; i++) {
		b.data[i / 8] ^= (uint8_t)(1 << i % 8);
		ck_assert_int_eq(frame_get(b.data, b.len, FRAME_SLOT, NULL, "chain/7", &r, NULL),
				 -L3_CORRUPT);
		ck_assert_ptr_nonnull(strstr(err_last_note(), "chain/7"));
		b.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t len = 0; len < b.len; len++) {
		uint8_t *cut = malloc(len ? len : 1);

		ck_assert_ptr_nonnull(cut);
		memcpy(cut, b.data, len);
		ck_assert_int_eq(frame_get(cut, len, FRAME_SLOT, NULL, "cut", &r, NULL),
				 -L3_CORRUPT);
		free(cut);
	}
	buf_u8(&b, 0);
	ck_assert_int_eq(frame_get(b.data, b.len, FRAME_SLOT, NULL, "longer", &r, NULL),
			 -L3_CORRUPT);
}
END_TEST

START_TEST(a_frame_of_another_kind_filesystem_or_newer_version_is_refused)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	uint64_t len = 0;
	struct rd r;

	frame_put(&b, FRAME_SLOT, &some_fs, PAYLOAD, PAYLOAD_LEN);
	ck_assert_int_eq(frame_get(b.data, b.len, FRAME_LEASE, &some_fs, "x", &r, NULL),
			 -L3_CORRUPT);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "SLOT"));
	ck_assert_int_eq(frame_get(b.data, b.len, FRAME_SLOT, &other_fs, "x", &r, NULL),
			 -L3_CORRUPT);
	ck_assert_ptr_nonnull(strstr(err_last_note(), "another filesystem"));
	ck_assert_int_eq(
		frame_check_header(b.data, FRAME_HEADER_BYTES, FRAME_SLOT, &some_fs, "x", &len), 0);
	ck_assert_uint_eq(len, PAYLOAD_LEN);
}
END_TEST

static void add_cases(Suite *s)
{
	TCase *t;

	t = tcase_create("errors");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, every_private_code_has_words_and_an_errno_of_its_own);
	tcase_add_test(t, only_what_another_try_may_mend_is_transient);
	tcase_add_test(t, a_note_says_what_happened_and_callers_put_words_in_front);
	tcase_add_test(t, a_note_is_cut_where_its_room_ends);
	tcase_add_test(t, a_note_belongs_to_its_thread);
	suite_add_tcase(s, t);

	t = tcase_create("buffers");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, what_is_put_in_a_buffer_is_read_back_in_order);
	tcase_add_test(t, integers_are_stored_in_the_byte_order_their_name_says);
	tcase_add_test(t, a_buffer_never_grows_past_its_limit_and_remembers_that_it_failed);
	tcase_add_test(t, a_buffer_can_be_seen_as_a_string);
	tcase_add_test(t, a_cursor_that_failed_gives_zeros_and_stays_failed);
	tcase_add_test(t, hostile_lengths_and_varints_are_refused);
	suite_add_tcase(s, t);

	t = tcase_create("frames");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_frame_gives_back_payload_and_uuid);
	tcase_add_test(t, a_frame_has_the_bytes_that_the_format_page_describes);
	tcase_add_test(t, a_frame_with_any_bit_changed_or_any_end_cut_off_is_refused);
	tcase_add_test(t, a_frame_of_another_kind_filesystem_or_newer_version_is_refused);
	suite_add_tcase(s, t);
}

int main(void)
{
	Suite *s = suite_create("util: errors, buffers, frames");

	add_cases(s);
	return run_suite(s);
}
