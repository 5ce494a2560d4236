/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames, the outer form of stored objects. All integers little-endian:
 *
 *	 0  8  magic "\x89levels3"
 *	 8  4  type, four characters
 *	12  2  version of the format
 *	14  2  zero
 *	16  8  length of the payload
 *	24  8  XXH3-64 of the payload
 *	32 16  uuid of the filesystem
 *	48  8  XXH3-64 of bytes 0 to 47
 *	56     payload
 */
#include "util/util.h"

#include <string.h>
#include <xxhash.h>

static const char magic[8] = "\x89levels3";

void frame_put_header(uint8_t out[FRAME_HEADER_BYTES], uint32_t type, const struct uuid *fs,
		      uint64_t payload_len, uint64_t payload_sum)
{
	memset(out, 0, FRAME_HEADER_BYTES);
	memcpy(out, magic, sizeof(magic));
	put_u32(out + 8, type);
	out[12] = FRAME_VERSION;
	put_u64(out + 16, payload_len);
	put_u64(out + 24, payload_sum);
	memcpy(out + 32, fs->bytes, sizeof(fs->bytes));
	put_u64(out + 48, XXH3_64bits(out, 48));
}

void frame_put(struct buf *out, uint32_t type, const struct uuid *fs, const void *payload, size_t len)
{
	uint8_t header[FRAME_HEADER_BYTES];

	frame_put_header(header, type, fs, len, XXH3_64bits(payload, len));
	buf_add(out, header, sizeof(header));
	buf_add(out, payload, len);
}

int frame_check_header(const void *data, size_t len, uint32_t type, const struct uuid *fs,
		       const char *what, uint64_t *ret_payload_len)
{
	const uint8_t *p = data;

	if (len < FRAME_HEADER_BYTES)
		return err_note(-L3_CORRUPT, "%s: only %zu bytes, less than a header", what, len);
	if (memcmp(p, magic, sizeof(magic)) != 0)
		return err_note(-L3_CORRUPT, "%s: was not written by levels3fs (no magic number)", what);
	if (XXH3_64bits(p, 48) != get_u64(p + 48))
		return err_note(-L3_CORRUPT, "%s: header damaged (checksum)", what);
	if ((p[12] | p[13] << 8) > FRAME_VERSION)
		return err_note(-L3_VERSION, "%s: format version %d, this levels3fs reads up to %d", what,
				p[12] | p[13] << 8, FRAME_VERSION);
	if (get_u32(p + 8) != type)
		return err_note(-L3_CORRUPT, "%s: holds a %.4s where a %.4s belongs", what,
				(const char *)p + 8, (const char *)&type);
	if (fs && memcmp(p + 32, fs->bytes, sizeof(fs->bytes)) != 0)
		return err_note(-L3_CORRUPT, "%s: belongs to another filesystem", what);
	if (ret_payload_len)
		*ret_payload_len = get_u64(p + 16);
	return 0;
}

int frame_get(const void *data, size_t len, uint32_t type, const struct uuid *fs, const char *what,
	      struct rd *ret_payload, struct uuid *ret_fs)
{
	const uint8_t *p = data;
	uint64_t payload_len;
	int err = frame_check_header(data, len, type, fs, what, &payload_len);

	if (err < 0)
		return err;
	if (payload_len != len - FRAME_HEADER_BYTES)
		return err_note(-L3_CORRUPT, "%s: %zu bytes where its header says %llu", what, len,
				(unsigned long long)payload_len + FRAME_HEADER_BYTES);
	if (XXH3_64bits(p + FRAME_HEADER_BYTES, payload_len) != get_u64(p + 24))
		return err_note(-L3_CORRUPT, "%s: content damaged (checksum)", what);
	rd_init(ret_payload, p + FRAME_HEADER_BYTES, payload_len);
	if (ret_fs)
		memcpy(ret_fs->bytes, p + 32, sizeof(ret_fs->bytes));
	return 0;
}
