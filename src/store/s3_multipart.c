/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Large unconditional PUTs in parts, several at once: a line with a long way to the server is
 * filled by several connections only. (Conditions are not honoured by what completes an upload, not
 * everywhere; conditional PUTs go in one piece.)
 *
 * Nothing is to be seen of the object before the upload is completed, and then all of it.
 */
#include "store/s3.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART_LEAST (5 * MIB) /* S3's limits */
#define PARTS_MAX 10000
#define PART_USUAL (16 * MIB)
#define WORKERS_MAX 4

struct etag {
	char text[STORE_ETAG_MAX];
};

struct upload {
	struct s3 *s3;
	const struct store_put *put;
	uint64_t size, part_bytes;
	unsigned count;
	char *id;
	struct etag *etags; /* of the parts */
	pthread_mutex_t lock;
	unsigned next; /* part to be sent next; the rest is of the first failure */
	int err;
	struct buf note;
};

static int begin(struct upload *u)
{
	struct s3_call c CLEANUP(s3_call_release);
	int err;

	s3_call_init(&c, u->s3, "PUT", "POST", u->put->key);
	c.kind = S3_WRITE;
	s3_call_query(&c, "uploads", "");
	err = s3_call_run(&c);
	if (err < 0)
		return err;
	err = s3_xml_upload_id(c.answer.body.data, c.answer.body.len, &u->id, &c.error);
	return err < 0 ? s3_call_failed(&c, err) : 0;
}

/* Keeps the thread's note. */
static void throw_away(struct upload *u, int err)
{
	struct buf note CLEANUP(buf_release) = BUF_INIT;
	struct s3_call c CLEANUP(s3_call_release);

	buf_add_str(&note, err_last_note());
	s3_call_init(&c, u->s3, "PUT", "DELETE", u->put->key);
	s3_call_query(&c, "uploadId", u->id);
	(void)s3_call_run(&c);
	(void)err_note(err, "%s", buf_cstr(&note));
}

/* ---- parts ---- */

/* The pieces of put->iov that make up [offset, offset + len), into out; how many. */
static int slice(const struct store_put *put, uint64_t offset, uint64_t len, struct iovec *out)
{
	int count = 0;

	for (int i = 0; i < put->iovcnt && len > 0; i++) {
		uint64_t have = put->iov[i].iov_len, n;

		if (offset >= have) {
			offset -= have;
			continue;
		}
		n = min_u64(have - offset, len);
		out[count++] = (struct iovec){ (char *)put->iov[i].iov_base + offset, (size_t)n };
		len -= n;
		offset = 0;
	}
	return count;
}

static int put_part(struct upload *u, unsigned part)
{
	struct iovec *iov CLEANUP(free_ptr) = calloc((size_t)u->put->iovcnt, sizeof(*iov));
	struct s3_call c CLEANUP(s3_call_release);
	uint64_t offset = part * u->part_bytes;
	char number[16];
	int err;

	s3_call_init(&c, u->s3, "PUT", "PUT", u->put->key);
	c.kind = S3_PART;
	if (!iov)
		return -ENOMEM;
	c.iov = iov;
	c.iovcnt = slice(u->put, offset, min_u64(u->part_bytes, u->size - offset), iov);
	(void)snprintf(number, sizeof(number), "%u", part + 1);
	s3_call_query(&c, "partNumber", number);
	s3_call_query(&c, "uploadId", u->id);
	err = s3_call_run(&c);
	if (err >= 0 && !c.answer.etag[0])
		err = err_note(-L3_SERVER, "PUT %s: the answer to part %s has no ETag", u->put->key,
			       number);
	if (err >= 0)
		memcpy(u->etags[part].text, c.answer.etag, sizeof(c.answer.etag));
	return err;
}

/* A part to send, or u->count when there is none or all is lost. */
static unsigned take_part(struct upload *u)
{
	unsigned part;

	pthread_mutex_lock(&u->lock);
	part = u->err < 0 ? u->count : u->next;
	if (part < u->count)
		u->next++;
	pthread_mutex_unlock(&u->lock);
	return part;
}

static void part_failed(struct upload *u, int err)
{
	pthread_mutex_lock(&u->lock);
	if (u->err >= 0) {
		u->err = err;
		buf_add_str(&u->note, err_last_note());
	}
	pthread_mutex_unlock(&u->lock);
}

static void put_some_parts(void *arg)
{
	struct upload *u = arg;
	unsigned part;

	while ((part = take_part(u)) < u->count) {
		int err = put_part(u, part);

		if (err < 0)
			part_failed(u, err);
	}
}

/* This thread and a few more. */
static int put_all_parts(struct upload *u)
{
	unsigned workers = (unsigned)min_u64(min_u64(u->count, u->s3->connections), WORKERS_MAX);
	struct pool *pool = NULL;

	/* Without more threads it is slower, that is all. */
	if (workers > 1 && pool_new("s3-parts", workers - 1, &pool) >= 0)
		for (unsigned i = 1; i < workers; i++)
			if (pool_submit(pool, put_some_parts, u) < 0)
				break;
	put_some_parts(u);
	pool_free(pool);
	return u->err < 0 ? err_note(u->err, "%s", buf_cstr(&u->note)) : 0;
}

/* ---- the whole ---- */

static int complete(struct upload *u)
{
	struct s3_call c CLEANUP(s3_call_release);
	struct buf xml CLEANUP(buf_release) = BUF_INIT;
	struct iovec v;
	int err;

	s3_call_init(&c, u->s3, "PUT", "POST", u->put->key);
	buf_add_str(&xml, "<CompleteMultipartUpload>");
	for (unsigned i = 0; i < u->count; i++) {
		buf_printf(&xml, "<Part><PartNumber>%u</PartNumber><ETag>\"", i + 1);
		(void)s3_xml_escape(&xml, u->etags[i].text);
		buf_add_str(&xml, "\"</ETag></Part>");
	}
	buf_add_str(&xml, "</CompleteMultipartUpload>");
	if (buf_error(&xml) < 0)
		return -ENOMEM;
	v = (struct iovec){ xml.data, xml.len };
	c.iov = &v;
	c.iovcnt = 1;
	s3_call_query(&c, "uploadId", u->id);
	err = s3_call_run(&c);
	if (err == -ENOENT) /* of an upload, not of an object */
		return err_wrap(-L3_SERVER, "the upload is gone");
	if (err < 0)
		return err;
	/* May be an <Error> in spite of the 200. */
	err = s3_xml_result(c.answer.body.data, c.answer.body.len, "CompleteMultipartUploadResult",
			    &c.error);
	return err < 0 ? s3_call_failed(&c, err) : 0;
}

static uint64_t choose_part_bytes(const struct s3 *s3, uint64_t size)
{
	uint64_t part = max_u64(PART_LEAST, min_u64(PART_USUAL, s3->multipart_bytes));

	return max_u64(part, (size + PARTS_MAX - 1) / PARTS_MAX);
}

int s3_put_parts(struct s3 *s3, const struct store_put *put, uint64_t size)
{
	struct upload u = { .s3 = s3, .put = put, .size = size };
	int err;

	u.part_bytes = choose_part_bytes(s3, size);
	u.count = (unsigned)((size + u.part_bytes - 1) / u.part_bytes);
	u.etags = calloc(u.count, sizeof(*u.etags));
	if (!u.etags)
		return -ENOMEM;
	pthread_mutex_init(&u.lock, NULL);
	err = begin(&u);
	if (err >= 0) {
		err = put_all_parts(&u);
		if (err >= 0)
			err = complete(&u);
		if (err < 0)
			throw_away(&u, err);
	}
	pthread_mutex_destroy(&u.lock);
	buf_release(&u.note);
	free(u.etags);
	free(u.id);
	return err;
}
