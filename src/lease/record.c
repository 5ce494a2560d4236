/* SPDX-License-Identifier: BSD-3-Clause */
/* The lease object's bytes, and what the local machine says about a holder. */
#include "lease/record.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* doc/format.md, "lease": integers little-endian, strings with a varint length before them. */
void lease_record_encode(struct buf *out, const struct uuid *fs, const struct lease_holder *h)
{
	struct buf p CLEANUP(buf_release) = BUF_INIT;

	buf_u64(&p, h->epoch);
	buf_u8(&p, h->released);
	buf_u64(&p, h->duration_ms);
	buf_u64(&p, h->renewals);
	buf_u64(&p, h->nonce);
	buf_u64(&p, (uint64_t)h->since_real_ns);
	buf_u64(&p, h->pid);
	buf_u64(&p, h->pid_start);
	buf_u64(&p, h->pid_ns);
	buf_bytes(&p, h->boot_id, strlen(h->boot_id));
	buf_bytes(&p, h->host, strlen(h->host));
	buf_bytes(&p, h->mountpoint, strlen(h->mountpoint));
	if (buf_error(&p) < 0)
		out->failed = true;
	else
		frame_put(out, FRAME_LEASE, fs, p.data, p.len);
}

static void take_string(struct rd *r, char *out, size_t cap)
{
	size_t len;
	const uint8_t *p = rd_bytes(r, &len);

	if (!p || len >= cap) {
		r->failed = true;
		return;
	}
	memcpy(out, p, len);
	out[len] = '\0';
	/* It will be printed: no control characters from a bucket onto a terminal. */
	for (char *c = out; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
}

int lease_record_decode(const void *data, size_t len, const struct uuid *fs, struct lease_holder *ret)
{
	struct lease_holder h = { 0 };
	struct rd r;
	int err = frame_get(data, len, FRAME_LEASE, fs, "object lease", &r, NULL);

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
	take_string(&r, h.boot_id, sizeof(h.boot_id));
	take_string(&r, h.host, sizeof(h.host));
	take_string(&r, h.mountpoint, sizeof(h.mountpoint));
	if (rd_error(&r) < 0)
		return err_note(-L3_CORRUPT, "object lease: its fields do not decode");
	*ret = h;
	return 0;
}

int lease_fetch(struct store *store, const struct uuid *fs, struct lease_holder *ret,
		struct store_meta *ret_meta)
{
	struct buf data CLEANUP(buf_release) = BUF_INIT;
	int err = store_get(store, LEASE_KEY, 0, STORE_TO_END, &data, ret_meta);

	return err < 0 ? err : lease_record_decode(data.data, data.len, fs, ret);
}

int lease_read(struct store *store, const struct uuid *fs, struct lease_holder *ret)
{
	struct store_meta meta;

	return lease_fetch(store, fs, ret, &meta);
}

/* ---- this machine ----------------------------------------------------------------------------------- */

static void read_boot_id(char *out, size_t cap)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;

	out[0] = '\0';
	if (file_read_all("/proc/sys/kernel/random/boot_id", 256, &b) < 0)
		return;
	(void)snprintf(out, cap, "%s", buf_cstr(&b));
	out[strcspn(out, "\n")] = '\0';
}

static uint64_t read_pid_ns(void)
{
	char link[64];
	ssize_t n = readlink("/proc/self/ns/pid", link, sizeof(link) - 1);
	unsigned long long ns;

	if (n <= 0)
		return 0;
	link[n] = '\0';
	return sscanf(link, "pid:[%llu]", &ns) == 1 ? ns : 0;
}

/* Field 22 of /proc/PID/stat, counted from behind the name's closing parenthesis; 0 if there is none. */
static uint64_t read_pid_start(uint64_t pid)
{
	struct buf b CLEANUP(buf_release) = BUF_INIT;
	char path[64];
	const char *p;
	unsigned long long start;

	(void)snprintf(path, sizeof(path), "/proc/%llu/stat", (unsigned long long)pid);
	if (file_read_all(path, 8192, &b) < 0)
		return 0;
	p = strrchr(buf_cstr(&b), ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p && sscanf(p, " %llu", &start) == 1 ? start : 0;
}

void lease_describe_self(struct lease_holder *ret, const char *mountpoint)
{
	ret->pid = (uint64_t)getpid();
	ret->pid_start = read_pid_start(ret->pid);
	ret->pid_ns = read_pid_ns();
	read_boot_id(ret->boot_id, sizeof(ret->boot_id));
	if (gethostname(ret->host, sizeof(ret->host)) < 0)
		(void)snprintf(ret->host, sizeof(ret->host), "unknown host");
	ret->host[sizeof(ret->host) - 1] = '\0';
	(void)snprintf(ret->mountpoint, sizeof(ret->mountpoint), "%s", mountpoint ? mountpoint : "");
}

bool lease_holder_is_dead(const struct lease_holder *h)
{
	char boot_id[sizeof(h->boot_id)];

	read_boot_id(boot_id, sizeof(boot_id));
	if (!h->boot_id[0] || strcmp(boot_id, h->boot_id) != 0)
		return false;
	if (!h->pid_ns || h->pid_ns != read_pid_ns() || !h->pid || !h->pid_start)
		return false;
	if (kill((pid_t)h->pid, 0) < 0 && errno == ESRCH)
		return true;
	return read_pid_start(h->pid) != h->pid_start;
}

void lease_describe(const struct lease_holder *h, struct buf *out)
{
	time_t since = (time_t)(h->since_real_ns / 1000000000);
	char when[32] = "an unknown time";
	struct tm tm;

	if (h->since_real_ns > 0 && localtime_r(&since, &tm))
		(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	buf_printf(out, "%s, pid %llu, mounted on %s since %s", h->host, (unsigned long long)h->pid,
		   h->mountpoint, when);
}
