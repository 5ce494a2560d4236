/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lease object: a frame of type LEAS around
 *
 *	 0  8  epoch
 *	 8  1  released (0 or 1)
 *	 9  8  duration in ms
 *	17  8  renewals: writes by this holder, from 1
 *	25  8  nonce, another one for every write
 *	33  8  since when this epoch is held, ns since 1970 by the holder's clock
 *	41  8  pid
 *	49  8  start time of the process, ticks since boot
 *	57  8  inode of its pid namespace
 *	65     boot id, host, mountpoint: each a varint length and bytes
 *
 * Integers are little-endian.
 */
#include "lease/internal.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#define NS_PER_S 1000000000

int lease_encode(const struct lease_holder *h, const struct uuid *fs, struct buf *out)
{
	struct buf payload CLEANUP(buf_release) = BUF_INIT;

	buf_u64(&payload, h->epoch);
	buf_u8(&payload, h->released);
	buf_u64(&payload, h->duration_ms);
	buf_u64(&payload, h->renewals);
	buf_u64(&payload, h->nonce);
	buf_u64(&payload, (uint64_t)h->since_real_ns);
	buf_u64(&payload, h->pid);
	buf_u64(&payload, h->pid_start);
	buf_u64(&payload, h->pid_ns);
	buf_bytes(&payload, h->boot_id, strlen(h->boot_id));
	buf_bytes(&payload, h->host, strlen(h->host));
	buf_bytes(&payload, h->mountpoint, strlen(h->mountpoint));
	if (buf_error(&payload) < 0)
		return -ENOMEM;
	frame_put(out, FRAME_LEASE, fs, payload.data, payload.len);
	return buf_error(out);
}

static void read_string(struct rd *r, char *out, size_t size)
{
	size_t len;
	const uint8_t *bytes = rd_bytes(r, &len);

	if (!bytes || len >= size || memchr(bytes, '\0', len)) {
		r->failed = true;
		return;
	}
	memcpy(out, bytes, len);
	out[len] = '\0';
}

int lease_decode(const void *data, size_t len, const struct uuid *fs, struct lease_holder *ret)
{
	struct lease_holder h = { 0 };
	struct rd r;
	int err = frame_get(data, len, FRAME_LEASE, fs, "object " LEASE_KEY, &r, NULL);

	if (err < 0)
		return err;
	h.epoch = rd_u64(&r);
	h.released = rd_u8(&r) != 0;
	h.duration_ms = rd_u64(&r);
	h.renewals = rd_u64(&r);
	h.nonce = rd_u64(&r);
	h.since_real_ns = (int64_t)rd_u64(&r);
	h.pid = rd_u64(&r);
	h.pid_start = rd_u64(&r);
	h.pid_ns = rd_u64(&r);
	read_string(&r, h.boot_id, sizeof(h.boot_id));
	read_string(&r, h.host, sizeof(h.host));
	read_string(&r, h.mountpoint, sizeof(h.mountpoint));
	if (rd_done(&r) < 0)
		return err_note(-L3_CORRUPT,
				"object " LEASE_KEY ": its fields do not fit its length");
	if (h.epoch > LEASE_EPOCH_MAX)
		return err_note(-L3_CORRUPT, "object " LEASE_KEY ": no mount has the epoch %llu",
				(unsigned long long)h.epoch);
	*ret = h;
	return 0;
}

int lease_fetch(struct store *store, const struct uuid *fs, struct lease_holder *ret,
		char etag[STORE_ETAG_MAX])
{
	struct buf bytes CLEANUP(buf_release) = BUF_INIT;
	struct store_meta meta;
	int err = store_get(store, LEASE_KEY, 0, LEASE_OBJECT_MAX, &bytes, &meta);

	if (err < 0)
		return err;
	err = lease_decode(bytes.data, bytes.len, fs, ret);
	if (err < 0)
		return err;
	memcpy(etag, meta.etag, STORE_ETAG_MAX);
	return 0;
}

int lease_read(struct store *store, const struct uuid *fs, struct lease_holder *ret)
{
	char etag[STORE_ETAG_MAX];

	return lease_fetch(store, fs, ret, etag);
}

/* The strings come from another machine and go to a terminal. */
static void add_printable(struct buf *out, const char *s)
{
	for (; *s; s++)
		buf_u8(out, iscntrl((unsigned char)*s) ? '?' : (uint8_t)*s);
}

static void add_time(struct buf *out, int64_t real_ns)
{
	time_t s = (time_t)(real_ns / NS_PER_S);
	char text[32];
	struct tm tm;

	if (gmtime_r(&s, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm) > 0)
		buf_printf(out, " since %s", text);
}

void lease_describe(const struct lease_holder *h, struct buf *out)
{
	add_printable(out, h->host[0] ? h->host : "an unnamed host");
	buf_printf(out, ", pid %llu", (unsigned long long)h->pid);
	if (h->mountpoint[0] == '(') { /* a verb, not a folder */
		buf_add_str(out, " ");
		add_printable(out, h->mountpoint);
	} else if (h->mountpoint[0]) {
		buf_add_str(out, ", mounted on ");
		add_printable(out, h->mountpoint);
	}
	add_time(out, h->since_real_ns);
}
