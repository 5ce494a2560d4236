/* SPDX-License-Identifier: BSD-3-Clause */
/* Growable buffers, bounded cursors, and integers in explicit byte order. */
#include "util/util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_release(struct buf *b)
{
	free(b->data);
	*b = (struct buf)BUF_INIT;
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

int buf_reserve(struct buf *b, size_t more)
{
	size_t limit = b->limit ? b->limit : BUF_LIMIT;
	size_t need, cap;
	uint8_t *data;

	if (b->failed)
		return -ENOMEM;
	if (more <= b->cap - b->len)
		return 0;
	if (more > limit - b->len) {
		b->failed = true;
		return -E2BIG;
	}
	need = b->len + more;
	cap = b->cap ? b->cap : 64;
	while (cap < need)
		cap += cap / 2 + 16;
	if (cap > limit)
		cap = limit;
	data = realloc(b->data, cap);
	if (!data) {
		b->failed = true;
		return -ENOMEM;
	}
	b->data = data;
	b->cap = cap;
	return 0;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	if (len == 0 || buf_reserve(b, len) < 0)
		return;
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

void buf_add_str(struct buf *b, const char *str)
{
	buf_add(b, str, strlen(str));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || buf_reserve(b, (size_t)n + 1) < 0) {
		b->failed = true;
		return;
	}
	va_start(ap, fmt);
	(void)vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

void buf_u8(struct buf *b, uint8_t v)
{
	buf_add(b, &v, 1);
}

void buf_u16(struct buf *b, uint16_t v)
{
	uint8_t p[2] = { (uint8_t)v, (uint8_t)(v >> 8) };

	buf_add(b, p, sizeof(p));
}

void buf_u32(struct buf *b, uint32_t v)
{
	uint8_t p[4];

	put_u32(p, v);
	buf_add(b, p, sizeof(p));
}

void buf_u64(struct buf *b, uint64_t v)
{
	uint8_t p[8];

	put_u64(p, v);
	buf_add(b, p, sizeof(p));
}

void buf_u32_be(struct buf *b, uint32_t v)
{
	uint8_t p[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };

	buf_add(b, p, sizeof(p));
}

void buf_u64_be(struct buf *b, uint64_t v)
{
	uint8_t p[8];

	put_u64_be(p, v);
	buf_add(b, p, sizeof(p));
}

void buf_varint(struct buf *b, uint64_t v)
{
	uint8_t p[10];
	size_t n = 0;

	while (v >= 0x80) {
		p[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	p[n++] = (uint8_t)v;
	buf_add(b, p, n);
}

void buf_bytes(struct buf *b, const void *data, size_t len)
{
	buf_varint(b, len);
	buf_add(b, data, len);
}

int buf_error(const struct buf *b)
{
	return b->failed ? -ENOMEM : 0;
}

const char *buf_cstr(struct buf *b)
{
	if (buf_reserve(b, 1) < 0)
		return "";
	b->data[b->len] = '\0';
	return (const char *)b->data;
}

void rd_init(struct rd *r, const void *data, size_t len)
{
	*r = (struct rd){ .data = data, .len = len };
}

const uint8_t *rd_take(struct rd *r, size_t len)
{
	static const uint8_t nothing;
	const uint8_t *p;

	if (r->failed || len > r->len - r->pos) {
		r->failed = true;
		return NULL;
	}
	if (len == 0)
		return &nothing; /* data may be NULL */
	p = r->data + r->pos;
	r->pos += len;
	return p;
}

uint8_t rd_u8(struct rd *r)
{
	const uint8_t *p = rd_take(r, 1);

	return p ? p[0] : 0;
}

uint16_t rd_u16(struct rd *r)
{
	const uint8_t *p = rd_take(r, 2);

	return p ? (uint16_t)(p[0] | p[1] << 8) : 0;
}

uint32_t rd_u32(struct rd *r)
{
	const uint8_t *p = rd_take(r, 4);

	return p ? get_u32(p) : 0;
}

uint64_t rd_u64(struct rd *r)
{
	const uint8_t *p = rd_take(r, 8);

	return p ? get_u64(p) : 0;
}

uint32_t rd_u32_be(struct rd *r)
{
	const uint8_t *p = rd_take(r, 4);

	return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

uint64_t rd_u64_be(struct rd *r)
{
	const uint8_t *p = rd_take(r, 8);

	return p ? get_u64_be(p) : 0;
}

uint64_t rd_varint(struct rd *r)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte = rd_u8(r);

		if (r->failed)
			return 0;
		if (shift == 63 && byte > 1)
			break;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return v;
	}
	r->failed = true;
	return 0;
}

const uint8_t *rd_bytes(struct rd *r, size_t *ret_len)
{
	uint64_t len = rd_varint(r);
	const uint8_t *p;

	*ret_len = 0;
	if (r->failed || len > r->len - r->pos) {
		r->failed = true;
		return NULL;
	}
	p = rd_take(r, (size_t)len);
	if (p)
		*ret_len = (size_t)len;
	return p;
}

size_t rd_left(const struct rd *r)
{
	return r->failed ? 0 : r->len - r->pos;
}

int rd_error(const struct rd *r)
{
	return r->failed ? -L3_CORRUPT : 0;
}

int rd_done(const struct rd *r)
{
	return r->failed || r->pos != r->len ? -L3_CORRUPT : 0;
}

uint32_t get_u32(const void *p)
{
	const uint8_t *b = p;

	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

uint64_t get_u64(const void *p)
{
	const uint8_t *b = p;

	return get_u32(b) | (uint64_t)get_u32(b + 4) << 32;
}

uint64_t get_u64_be(const void *p)
{
	const uint8_t *b = p;
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | b[i];
	return v;
}

void put_u32(void *p, uint32_t v)
{
	uint8_t *b = p;

	for (int i = 0; i < 4; i++)
		b[i] = (uint8_t)(v >> (8 * i));
}

void put_u64(void *p, uint64_t v)
{
	uint8_t *b = p;

	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> (8 * i));
}

void put_u64_be(void *p, uint64_t v)
{
	uint8_t *b = p;

	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> (56 - 8 * i));
}
