/* SPDX-License-Identifier: BSD-3-Clause */
/* Records of the database, POSIX ACLs, and options as people write them. */
#include "fs/internal.h"
#include "fs/names.h"
#include "tests/fuzz/fuzz.h"

/* Integers may have been written longer than needed, so bytes need not come back; values do. */
static void as_inode(const uint8_t *data, size_t len)
{
	struct buf out CLEANUP(buf_release) = BUF_INIT;
	struct attr a = { 0 }, again = { 0 };

	if (inode_decode(data, len, 2, &a) == 0) {
		inode_encode(&out, &a, a.size);
		MUST(inode_decode(out.data, out.len, 2, &again) == 0);
		MUST(again.mode == a.mode && again.size == a.size && again.mtime_ns == a.mtime_ns);
		MUST(again.target.len == a.target.len);
	}
	buf_release(&a.target);
	buf_release(&again.target);
}

static void as_dentry(const uint8_t *data, size_t len)
{
	struct buf out CLEANUP(buf_release) = BUF_INIT;
	struct dentry d, again;

	if (dentry_decode(data, len, &d) < 0)
		return;
	MUST(d.name_len <= FS_NAME_MAX && !memchr(d.name, '\0', d.name_len) &&
	     !memchr(d.name, '/', d.name_len));
	dentry_encode(&out, d.type, d.ino, d.name, d.name_len);
	MUST(dentry_decode(out.data, out.len, &again) == 0 && again.ino == d.ino);
}

static void as_extent(const uint8_t *data, size_t len)
{
	struct buf out CLEANUP(buf_release) = BUF_INIT;
	struct extent e, again;
	uint64_t end;

	if (len < 8)
		return;
	end = get_u64(data);
	if (extent_decode(data + 8, len - 8, end, &e) < 0)
		return;
	MUST(e.start < e.end && e.end == end);
	extent_encode(&out, &e);
	MUST(extent_decode(out.data, out.len, end, &again) == 0 && again.start == e.start);
}

static void as_counters(const uint8_t *data, size_t len)
{
	struct orphan_record orphan;
	struct reference reference;
	struct seg_record seg;
	struct shift shift;
	struct totals totals;

	(void)totals_decode(data, len, &totals);
	(void)seg_decode(data, len, &seg);
	(void)reference_decode(data, len, &reference);
	(void)shift_decode(data, len, &shift);
	(void)orphan_decode(data, len, &orphan);
}

static void as_acl(const uint8_t *data, size_t len)
{
	uint8_t *acl;
	bool plain;

	if (acl_check(data, len) < 0)
		return;
	acl = fuzz_copy(data, len);
	(void)acl_mode(acl, len, 0644, &plain);
	acl_chmod(acl, len, 0750);
	MUST(acl_check(acl, len) == 0);
	(void)acl_inherit(acl, len, 0666);
	MUST(acl_check(acl, len) == 0);
	free(acl);
}

static void as_options(const uint8_t *data, size_t len)
{
	char *text = fuzz_string(data, len);
	struct buf words CLEANUP(buf_release) = BUF_INIT;
	struct fs_config c;
	int err;

	fs_config_init(&c);
	err = fs_config_parse(&c, text, NULL, NULL);
	if (err == 0)
		err = fs_config_check(&c);
	if (err < 0)
		fs_explain(err, &words);
	fs_config_release(&c);
	free(text);
}

static void as_numbers(const uint8_t *data, size_t len)
{
	char *text = fuzz_string(data, len), size[SIZE_STR_LEN];
	uint64_t n;

	if (parse_size(text, &n) == 0)
		(void)format_size(n, size);
	(void)parse_duration_ms(text, &n);
	(void)parse_u64(text, &n);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const kinds[])(const uint8_t *,
				     size_t) = { as_inode, as_dentry,  as_extent, as_counters,
						 as_acl,   as_options, as_numbers };
	uint8_t *copy;

	if (size < 1)
		return 0;
	copy = fuzz_copy(data + 1, size - 1);
	kinds[data[0] % ARRAY_LEN(kinds)](copy, size - 1);
	free(copy);
	return 0;
}
