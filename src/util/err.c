/* SPDX-License-Identifier: BSD-3-Clause */
/* Error codes, their words, and the thread's note about its last failure. */
#include "util/util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOTE_BYTES 1024

static _Thread_local char note[NOTE_BYTES];

static const struct {
	int code;
	int as_errno;
	const char *text;
} table[] = {
	{ L3_FENCED, EIO, "another mount has taken over (fenced)" },
	{ L3_LEASE_LOST, EIO, "the lease ran out and is not renewed yet" },
	{ L3_LEASE_HELD, EBUSY, "in use by another mount" },
	{ L3_CORRUPT, EIO, "stored data is damaged" },
	{ L3_PRECONDITION, EEXIST, "the object was changed or made by somebody else" },
	{ L3_THROTTLED, EAGAIN, "the store asks to slow down" },
	{ L3_UNREACHABLE, EIO, "the store cannot be reached" },
	{ L3_SERVER, EIO, "the store reports trouble of its own" },
	{ L3_DENIED, EACCES, "the store denies access" },
	{ L3_NO_BUCKET, ENOENT, "no such bucket or folder" },
	{ L3_WRONG_REGION, EINVAL, "the bucket is in another region" },
	{ L3_CLOCK_SKEW, EINVAL, "this machine's clock and the store's differ too much" },
	{ L3_NO_CONDITION, EOPNOTSUPP, "the store does not honour conditional writes" },
	{ L3_NOT_LEVELS3, EINVAL, "no levels3 filesystem there" },
	{ L3_VERSION, EOPNOTSUPP, "written by a newer levels3fs" },
	{ L3_BAD_OPTION, EINVAL, "unusable option or value" },
	{ L3_CLOSED, ESHUTDOWN, "shut down" },
};

int err_to_errno(int err)
{
	if (err >= 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].code == -err)
			return table[i].as_errno;
	return -err < L3_FENCED ? -err : EIO;
}

const char *err_text(int err)
{
	if (err >= 0)
		return "success";
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].code == -err)
			return table[i].text;
	return strerrordesc_np(-err) ? strerrordesc_np(-err) : "unknown error";
}

bool err_is_transient(int err)
{
	switch (-err) {
	case L3_THROTTLED:
	case L3_UNREACHABLE:
	case L3_SERVER:
	case EINTR:
	case EAGAIN:
		return true;
	default:
		return false;
	}
}

/* As much of text as there is room for. */
static void set_note(const char *text)
{
	size_t len = strnlen(text, NOTE_BYTES - 1);

	memcpy(note, text, len);
	note[len] = '\0';
}

int err_note(int err, const char *fmt, ...)
{
	char text[NOTE_BYTES]; /* the arguments may contain the present note */
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	set_note(text);
	return err;
}

int err_wrap(int err, const char *fmt, ...)
{
	char text[2 * NOTE_BYTES + 2];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, NOTE_BYTES, fmt, ap);
	va_end(ap);
	if (n >= 0 && n < NOTE_BYTES)
		(void)snprintf(text + n, sizeof(text) - (size_t)n, ": %s",
			       note[0] ? note : err_text(err));
	set_note(text);
	return err;
}

const char *err_last_note(void)
{
	return note;
}

void err_clear(void)
{
	note[0] = '\0';
}

void free_ptr(void *ptr_to_ptr)
{
	void **p = ptr_to_ptr;

	free(*p);
	*p = NULL;
}

void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}
