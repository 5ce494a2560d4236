/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * acl: POSIX ACLs. The kernel enforces them; keeping them in step with the mode, and passing on
 * default ACLs, is the filesystem's part (FUSE_CAP_POSIX_ACL).
 *
 * The form is the one of the xattrs system.posix_acl_access and _default (linux/posix_acl_xattr.h):
 * a 32-bit version, then entries of a 16-bit tag, 16-bit permissions and a 32-bit id, all
 * little-endian. Rules: POSIX 1003.1e draft 17; acl(5).
 */
#include "fs/names.h"

#include <errno.h>

#define ACL_VERSION 2
#define HEADER_BYTES 4
#define ENTRY_BYTES 8

enum acl_tag {
	TAG_USER_OBJ = 0x01,
	TAG_USER = 0x02,
	TAG_GROUP_OBJ = 0x04,
	TAG_GROUP = 0x08,
	TAG_MASK = 0x10,
	TAG_OTHER = 0x20,
};

static size_t count_of(size_t len)
{
	return (len - HEADER_BYTES) / ENTRY_BYTES;
}

static uint8_t *entry_at(const void *value, size_t n)
{
	return (uint8_t *)value + HEADER_BYTES + n * ENTRY_BYTES;
}

static unsigned get_u16(const uint8_t *p)
{
	return (unsigned)p[0] | (unsigned)p[1] << 8;
}

static unsigned tag_of(const void *value, size_t n)
{
	return get_u16(entry_at(value, n));
}

static unsigned perm_of(const void *value, size_t n)
{
	return get_u16(entry_at(value, n) + 2);
}

static void set_perm(void *value, size_t n, unsigned perm)
{
	entry_at(value, n)[2] = (uint8_t)(perm & 7);
	entry_at(value, n)[3] = 0;
}

/* Entries come in the order of their tags; each of the single ones at most once. */
int acl_check(const void *value, size_t len)
{
	unsigned seen = 0, last = 0;

	if (len < HEADER_BYTES || (len - HEADER_BYTES) % ENTRY_BYTES != 0)
		return -EINVAL;
	if (get_u32(value) != ACL_VERSION)
		return -EOPNOTSUPP;
	if (len == HEADER_BYTES)
		return 0; /* an empty one: means to remove it */
	for (size_t n = 0; n < count_of(len); n++) {
		unsigned tag = tag_of(value, n);
		bool many = tag == TAG_USER || tag == TAG_GROUP;

		if (tag < last || perm_of(value, n) > 7 || tag > TAG_OTHER || (tag & (tag - 1)))
			return -EINVAL;
		if (tag == 0 || (tag == last && !many))
			return -EINVAL;
		seen |= tag;
		last = tag;
	}
	if ((seen & (TAG_USER_OBJ | TAG_GROUP_OBJ | TAG_OTHER)) !=
	    (TAG_USER_OBJ | TAG_GROUP_OBJ | TAG_OTHER))
		return -EINVAL;
	return (seen & (TAG_USER | TAG_GROUP)) && !(seen & TAG_MASK) ? -EINVAL : 0;
}

/* The entry that the group bits of the mode stand for: the mask if there is one. */
static unsigned group_class(const void *value, size_t len)
{
	for (size_t n = 0; n < count_of(len); n++)
		if (tag_of(value, n) == TAG_MASK)
			return TAG_MASK;
	return TAG_GROUP_OBJ;
}

/* How far to shift an entry's permissions to get its bits of the mode; -1: it has none. */
static int shift_of(unsigned tag, unsigned group)
{
	if (tag == TAG_USER_OBJ)
		return 6;
	if (tag == group)
		return 3;
	return tag == TAG_OTHER ? 0 : -1;
}

uint32_t acl_mode(const void *value, size_t len, uint32_t mode, bool *ret_plain)
{
	unsigned group = group_class(value, len);

	*ret_plain = count_of(len) <= 3;
	for (size_t n = 0; n < count_of(len); n++) {
		int shift = shift_of(tag_of(value, n), group);

		if (shift >= 0)
			mode = (mode & ~(7u << shift)) | (uint32_t)perm_of(value, n) << shift;
	}
	return mode;
}

void acl_chmod(void *value, size_t len, uint32_t mode)
{
	unsigned group;

	if (acl_check(value, len) < 0)
		return; /* not ours to mend */
	group = group_class(value, len);
	for (size_t n = 0; n < count_of(len); n++) {
		int shift = shift_of(tag_of(value, n), group);

		if (shift >= 0)
			set_perm(value, n, mode >> shift & 7);
	}
}

uint32_t acl_inherit(void *acl, size_t len, uint32_t mode)
{
	unsigned group = group_class(acl, len);

	for (size_t n = 0; n < count_of(len); n++) {
		int shift = shift_of(tag_of(acl, n), group);
		unsigned perm;

		if (shift < 0)
			continue;
		perm = perm_of(acl, n) & (mode >> shift & 7);
		set_perm(acl, n, perm);
		mode = (mode & ~(7u << shift)) | (uint32_t)perm << shift;
	}
	return mode;
}
