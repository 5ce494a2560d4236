/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * store: object stores behind one table of functions, and wrappers around any store.
 *
 *	struct store *s;
 *	err = store_open("s3://bucket/prefix", &config, &s);   // or file:///path, mem:
 *	err = store_put(s, &(struct store_put){ .key = "a", .iov = &v, .iovcnt = 1,
 *	                                        .cond = STORE_CREATE }, &meta);
 *	store_unref(s);
 *
 * Every call may take as long as a network does and may be made from any thread; none may be made
 * while holding a lock that other operations need. Keys are relative to the URL's prefix: 1 to
 * STORE_KEY_MAX bytes of UTF-8 without NUL, no "." or ".." component, no empty component.
 *
 * An error from a PUT, COPY or DELETE means *outcome unknown* unless it is -L3_PRECONDITION, or a
 * refusal before anything was sent (-EINVAL, -L3_BAD_OPTION, -ECANCELED). A PUT that returned 0 is
 * durable and seen by every later get, head and list, from anywhere.
 *
 * Errors: -ENOENT (no such object), -L3_PRECONDITION, -L3_THROTTLED, -L3_UNREACHABLE, -L3_SERVER,
 * -L3_DENIED, -L3_NO_BUCKET, -L3_WRONG_REGION, -L3_CLOCK_SKEW, -ENOSPC, -ECANCELED (store_cancel),
 * -EINVAL. All leave a note with operation, key and, for S3, HTTP status, S3 code and request id.
 */
#ifndef LEVELS3_STORE_H
#define LEVELS3_STORE_H

#include "util/util.h"

#include <sys/uio.h>

#define STORE_KEY_MAX 900
#define STORE_ETAG_MAX 136
#define STORE_TO_END UINT64_MAX

struct store; /* reference counted */

struct store_meta {
	uint64_t size_bytes;
	int64_t mtime_s;	   /* the store's clock, seconds since 1970 */
	char etag[STORE_ETAG_MAX]; /* without quotes; changes whenever the object does */
};

enum store_cond {
	STORE_ALWAYS, /* write or overwrite */
	STORE_CREATE, /* only where no object is: else -L3_PRECONDITION */
	STORE_MATCH,  /* only over the object with this etag: else -L3_PRECONDITION */
};

struct store_put {
	const char *key;
	const struct iovec *iov; /* the bytes; must stay as they are until the call returns */
	int iovcnt;
	enum store_cond cond;
	const char *match_etag; /* for STORE_MATCH; without quotes (s3 finds out which form the server honours:
				   quoted first; on 412 it looks whether the etag in truth matches, then
				   tries the bare form once and remembers) */
};

struct store_entry {
	char *key;
	uint64_t size_bytes;
	int64_t mtime_s;
};

struct store_list {
	struct store_entry *entries; /* ascending by bytes of the key */
	size_t count;
	size_t cap;
	bool more; /* there are keys after the last one */
};

#define STORE_LIST_INIT { NULL, 0, 0, false }
void store_list_release(struct store_list *l);
/* For implementations: copies key. 0 or -ENOMEM. */
int store_list_add(struct store_list *l, const char *key, uint64_t size_bytes, int64_t mtime_s);

/* What a call did, for the counters. */
enum store_op {
	STORE_OP_GET,
	STORE_OP_PUT,
	STORE_OP_HEAD,
	STORE_OP_LIST,
	STORE_OP_COPY,
	STORE_OP_DELETE,      /* single */
	STORE_OP_DELETE_MANY, /* one request, many keys */
	STORE_OP_MULTIPART,   /* create, each part, complete, abort */
	STORE_OP_COUNT
};
/* "get", "delete_many", … */
const char *store_op_name(enum store_op op);

/* What is not there, or is there already, was asked, and has been answered; what was taken back never mattered. */
bool store_has_failed(int result);

struct store_counts { /* of requests that reached the store's own code, retries included */
	uint64_t requests[STORE_OP_COUNT];
	uint64_t failed[STORE_OP_COUNT];
	uint64_t bytes_out; /* object bytes sent */
	uint64_t bytes_in;  /* object bytes received */
	uint64_t in_flight; /* requests that are not answered yet */
};

/*
 * The contract of an implementation. Only store.c calls these; it has validated keys and ranges.
 */
struct store_ops {
	const char *name;
	/* Appends [offset, offset+len) of the object to out, less where the object ends before; nothing
	 * and success when offset is at or past the end. On failure out is as it was. ret_meta may
	 * be NULL. Never returns fewer bytes than the object has in the range. */
	int (*get)(struct store *s, const char *key, uint64_t offset, uint64_t len, struct buf *out,
		   struct store_meta *ret_meta);
	int (*put)(struct store *s, const struct store_put *put, struct store_meta *ret_meta);
	int (*head)(struct store *s, const char *key, struct store_meta *ret_meta);
	/* Up to max keys (0: what the store gives at a time) that begin with prefix and come after
	 * start_after in byte order. */
	int (*list)(struct store *s, const char *prefix, const char *start_after, unsigned max,
		    struct store_list *out);
	int (*copy)(struct store *s, const char *from, const char *to);
	int (*remove)(struct store *s, const char *key); /* absent is success */
	int (*remove_many)(struct store *s, const char *const *keys, size_t count);
	void (*cancel)(struct store *s);
	void (*destroy)(struct store *s);
};

struct store { /* embedded first in every implementation */
	const struct store_ops *ops;
	unsigned refs; /* atomic */
	char *url;     /* for messages; holds no secret */
};

struct store_config {		 /* zero means the default */
	const char *endpoint;	 /* "https://host:port"; NULL: AWS for the region */
	const char *region;	 /* NULL: profile's, AWS_REGION, else us-east-1 */
	const char *profile;	 /* of the shared config files; NULL: AWS_PROFILE or "default" */
	const char *passwd_file; /* "[BUCKET:]ACCESS_KEY:SECRET_KEY", for this bucket only; NULL: as the AWS tools do */
	bool anonymous;		 /* requests are not signed: public buckets, for reading */
	const char *sse;	 /* AES256, aws:kms, aws:kms:dsse; NULL: what the bucket does */
	const char *sse_kms_key; /* with aws:kms */
	const char *sse_c_key_file; /* 32 bytes, or these in base64; mode 0600 */
	const char *storage_class, *acl; /* of objects written; NULL: the bucket's */
	const char *tags;	 /* "NAME=VALUE&NAME=VALUE" of objects written */
	bool requester_pays;
	bool dualstack, fips;	 /* AWS' endpoints of these kinds */
	const char *ca_file;	 /* PEM bundle to trust instead of the system's */
	bool path_style;	 /* https://host/bucket/key; also chosen by itself when the bucket is no host name */
	bool no_verify;		 /* do not check the server's certificate */
	unsigned connections;	 /* most at once (default 32) */
	uint64_t connect_timeout_ms; /* 10 s */
	uint64_t timeout_ms;	     /* one request, from start to end, without bytes moving: 30 s */
	uint64_t multipart_bytes;    /* unconditional PUTs above this go in parts (64 MiB) */
	bool create;		     /* file: make the folder if its parent exists (mkfs, -o create) */
};

/* Opens (without talking to it yet, for s3). Wrappers are not included. -L3_BAD_OPTION with a note
 * that names what is wrong in URL or config. mem: stores with the same name are the same store in
 * this process ("mem:name"), and live until store_mem_drop or the process's end. */
int store_open(const char *url, const struct store_config *config, struct store **ret);
/* For a process that lives long: the keys in the environment (AWS_SECRET_ACCESS_KEY, …) are taken over and cleared
 * there, so that neither /proc nor a core dump shows them. Before other threads begin. -ENOMEM; a note if they are
 * unusable. */
int store_take_keys(void);
struct store *store_ref(struct store *s);
void store_unref(struct store *s); /* NULL is fine */
void store_mem_drop(const char *url);
/* By which objects in mem: stores get their times, for tests that own time; NULL: the system's. */
void store_mem_clock(struct clock *clock);

int store_get(struct store *s, const char *key, uint64_t offset, uint64_t len, struct buf *out,
	      struct store_meta *ret_meta);
int store_put(struct store *s, const struct store_put *put, struct store_meta *ret_meta);
/* One buffer, the usual case. */
int store_put_bytes(struct store *s, const char *key, const void *data, size_t len,
		    enum store_cond cond, const char *match_etag, struct store_meta *ret_meta);
int store_head(struct store *s, const char *key, struct store_meta *ret_meta);
int store_list(struct store *s, const char *prefix, const char *start_after, unsigned max,
	       struct store_list *out);
/* All pages. */
int store_list_all(struct store *s, const char *prefix, const char *start_after,
		   struct store_list *out);
int store_copy(struct store *s, const char *from, const char *to);
/* Copy, then delete. Not atomic: a crash in between leaves both. */
int store_rename(struct store *s, const char *from, const char *to);
int store_remove(struct store *s, const char *key);
/* Any number of keys; as few requests as the store allows. */
int store_remove_many(struct store *s, const char *const *keys, size_t count);

/* Every call in progress or made later returns -ECANCELED soon. For forced unmount. On a wrapper it
 * cancels that wrapper's waiting, and passes on to the store below only if that is told separately. */
void store_cancel(struct store *s);

/* ---- for people who look for what is wrong ---- */

enum store_verdict { STORE_FINE, STORE_ODD, STORE_WRONG };
struct store_remark {
	enum store_verdict verdict;
	const char *what;   /* "name", "connection", "certificate", "clock", "credentials", "folder" */
	const char *text;   /* a sentence; no secret is in it */
	const char *advice; /* may be NULL */
};
/*
 * Goes the way to the store step by step, and remarks on each: where the server is, its certificate, its clock against
 * ours, where the keys come from; of a folder, whether it is there. Up to the first step that fails for good, and
 * without a request that is signed. Nothing is written. -L3_BAD_OPTION where URL or options make no sense, -ENOMEM.
 */
int store_examine(const char *url, const struct store_config *config,
		  void (*remark)(void *ctx, const struct store_remark *r), void *ctx);

/* ---- wrappers: each takes a reference of next ---- */

/* Counts, and reports every request to `each` if given (from any thread, after the answer). */
struct store_request {
	enum store_op op;
	const char *key;
	uint64_t bytes;
	uint64_t took_ns;
	int result;
	unsigned attempt; /* 1, more when a retry wrapper above tries again */
	const char *request_id; /* the server's, for its operators; "" */
};
typedef void (*store_request_fn)(void *ctx, const struct store_request *r);
int store_wrap_trace(struct store *next, store_request_fn each, void *ctx, struct store **ret);
void store_trace_counts(struct store *trace, struct store_counts *ret);

struct store_retry_config {
	unsigned attempts;	 /* in all; 0: for ever, and for *every* error but definite answers
				    (ENOENT, PRECONDITION, ECANCELED, EINVAL, BAD_OPTION) */
	uint64_t base_delay_ms;	 /* full jitter: random in [0, base * 2^n], */
	uint64_t max_delay_ms;	 /* capped here */
	struct clock *clock;
	struct notifier notifier; /* told after the first failure of a call that lasts over 5 s, each
				     minute, and when it went well again */
};
/* The ambiguous PUT: after a retried conditional PUT meets -L3_PRECONDITION, the object is read back;
 * if it holds exactly our bytes, the PUT had succeeded. Everything we write conditionally has a
 * nonce or an epoch in it, so equal bytes mean ours. */
int store_wrap_retry(struct store *next, const struct store_retry_config *config, struct store **ret);

/* Faults for tests; each operation gets a number from 1 on. Decides before the call what happens. */
enum store_fault {
	STORE_FAULT_NONE,
	STORE_FAULT_ERROR_BEFORE, /* fails with `error`, no effect */
	STORE_FAULT_ERROR_AFTER,  /* takes effect, but the answer is `error` */
	STORE_FAULT_THROTTLE,
	STORE_FAULT_HANG,      /* waits until store_cancel or store_fault_resume, then error, no effect */
	STORE_FAULT_HANG_AFTER, /* takes effect, then waits likewise */
	STORE_FAULT_DUPLICATE, /* takes effect now, and once more (ignored result) */
	STORE_FAULT_LATE,      /* -L3_UNREACHABLE now; takes effect at store_fault_resume */
	STORE_FAULT_DEAD,      /* this and everything later fails with -ECANCELED: the machine is gone */
	STORE_FAULT_FLIP,      /* GET: one bit of the answer is flipped */
};
struct store_fault_plan {
	/* Returns what shall happen to operation `number`; sets *error for the ERROR kinds. */
	enum store_fault (*decide)(void *ctx, uint64_t number, enum store_op op, const char *key,
				   int *error);
	void *ctx;
};
int store_wrap_fault(struct store *next, const struct store_fault_plan *plan, struct store **ret);
uint64_t store_fault_count(struct store *fault); /* operations seen so far */
void store_fault_resume(struct store *fault);	 /* releases hanging, applies late ones */

#endif
