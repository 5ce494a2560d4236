/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * util: what every room needs: errors, buffers, clocks, log, thread pool, budget, numbers.
 *
 * Nothing here knows object stores, LevelDB or files. Everything is safe to call from any thread
 * unless it says otherwise; a struct without a lock of its own belongs to one thread at a time.
 */
#ifndef LEVELS3_UTIL_H
#define LEVELS3_UTIL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <stdarg.h>
#include <sys/types.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define MUST_CHECK __attribute__((warn_unused_result))

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* What a build with a sanitizer needs of each stack beyond what the code takes. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZER_STACK_BYTES (4 * MIB)
#else
#define SANITIZER_STACK_BYTES 0
#endif

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* For CLEANUP: char *p CLEANUP(free_ptr) = NULL; works for any pointer from malloc. */
void free_ptr(void *ptr_to_ptr);
void close_fd(int *fd);

/* ---- errors ------------------------------------------------------------------------------------
 * Functions return 0 or a positive number for success and a negative code for failure: -errno, or
 * minus one of the private codes below, which say more than an errno can. Only the fuse and cli
 * rooms turn them into errno (err_to_errno) or words (err_text).
 *
 * The thread's last failure keeps its circumstances (operation, object, HTTP status, request id) as
 * a note. The code that meets the failure first writes it; callers pass the code on untouched or
 * put their own words in front (err_wrap). Whoever hands an error to another thread copies the note.
 */
enum err_private {
	L3_FENCED = 2000, /* a newer epoch owns the filesystem: EIO for good */
	L3_LEASE_LOST,	  /* the lease ran out and could not be renewed yet: EIO, may pass */
	L3_LEASE_HELD,	  /* somebody else holds the lease: EBUSY */
	L3_CORRUPT,	  /* stored bytes are not what was written: EIO */
	L3_PRECONDITION,  /* create-only or if-match was not met: EEXIST */
	L3_THROTTLED,	  /* the store asks to slow down (429, 503 SlowDown): EAGAIN, retry */
	L3_UNREACHABLE,	  /* no connection, time-out, torn answer: EIO, retry; outcome unknown */
	L3_SERVER,	  /* 5xx or a conflict answer: EIO, retry; outcome unknown */
	L3_DENIED,	  /* credentials missing, wrong or without the right: EACCES */
	L3_NO_BUCKET,	  /* the bucket (or folder of a file store) does not exist: ENOENT */
	L3_WRONG_REGION,  /* the bucket answers in another region: EINVAL */
	L3_CLOCK_SKEW,	  /* the store refuses our clock: EINVAL */
	L3_NO_CONDITION,  /* the store does not honour conditional writes: EOPNOTSUPP */
	L3_NOT_LEVELS3,	  /* the prefix holds nothing, or something else: EINVAL */
	L3_VERSION,	  /* a newer format version or an unknown feature flag: EOPNOTSUPP */
	L3_BAD_OPTION,	  /* an option, URL or value cannot be used: EINVAL */
	L3_CLOSED,	  /* the object asked has been shut down: ESHUTDOWN */
	L3_PRIVATE_END
};

/* The errno (positive) for a negative code; 0 for 0 and above. */
int err_to_errno(int err);
/* Short fixed words for a code: "fenced by a newer mount", or strerror's. Never NULL. */
const char *err_text(int err);
/* True for failures that another try may mend (THROTTLED, UNREACHABLE, SERVER, EINTR, EAGAIN). */
bool err_is_transient(int err);

/* Sets this thread's note and returns err, so that `return err_note(-ENOENT, "…", …);` reads well. */
int err_note(int err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Puts words and ": " before the present note; returns err. */
int err_wrap(int err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* This thread's note; "" when none. Valid until the next err_* call in this thread. */
const char *err_last_note(void);
void err_clear(void);

/* ---- buffers -----------------------------------------------------------------------------------
 * A growable byte string. `limit` bounds it (0: BUF_LIMIT). Appending to a buffer that could not
 * grow does nothing and leaves `failed` set, so a writer checks once at the end (buf_error).
 * All integers are little-endian unless the name says _be.
 */
#define BUF_LIMIT ((size_t)1 << 31)

struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t limit;
	bool failed;
};

#define BUF_INIT { NULL, 0, 0, 0, false }

void buf_release(struct buf *b); /* frees, leaves BUF_INIT; accepts an empty one */
void buf_reset(struct buf *b);	 /* length 0, keeps memory and limit, clears failed */
int buf_reserve(struct buf *b, size_t more); /* room for more bytes, or -ENOMEM / -E2BIG */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_str(struct buf *b, const char *str); /* without the NUL */
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_u8(struct buf *b, uint8_t v);
void buf_u16(struct buf *b, uint16_t v);
void buf_u32(struct buf *b, uint32_t v);
void buf_u64(struct buf *b, uint64_t v);
void buf_u32_be(struct buf *b, uint32_t v);
void buf_u64_be(struct buf *b, uint64_t v);
void buf_varint(struct buf *b, uint64_t v);			/* LEB128 */
void buf_bytes(struct buf *b, const void *data, size_t len);	/* varint length, then bytes */
int buf_error(const struct buf *b);				/* 0 or -ENOMEM */
const char *buf_cstr(struct buf *b); /* NUL-terminated view; "" if out of memory */

/* A cursor over bytes that may be hostile. The first read past the end or bad varint sets `failed`;
 * everything after returns zeros, so a decoder checks once (rd_error, rd_done). */
struct rd {
	const uint8_t *data;
	size_t len;
	size_t pos;
	bool failed;
};

void rd_init(struct rd *r, const void *data, size_t len);
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
uint32_t rd_u32_be(struct rd *r);
uint64_t rd_u64_be(struct rd *r);
uint64_t rd_varint(struct rd *r);
const uint8_t *rd_take(struct rd *r, size_t len);		/* points into the data; NULL on failure */
const uint8_t *rd_bytes(struct rd *r, size_t *ret_len);		/* varint length, then bytes */
size_t rd_left(const struct rd *r);
int rd_error(const struct rd *r);  /* 0 or -L3_CORRUPT */
int rd_done(const struct rd *r);   /* like rd_error, and all bytes must have been read */

uint32_t get_u32(const void *p);
uint64_t get_u64(const void *p);
uint64_t get_u64_be(const void *p);
void put_u32(void *p, uint32_t v);
void put_u64(void *p, uint64_t v);
void put_u64_be(void *p, uint64_t v);

/* ---- frames: the outer form of every object that levels3fs writes ------------------------------
 * A 56-byte header, then the payload. doc/format.md has it byte by byte. The filesystem's uuid in
 * it makes an object copied from elsewhere recognisable; both checksums are XXH3-64.
 */
#define FRAME_HEADER_BYTES 56
#define FRAME_VERSION 1

enum frame_type { /* four ASCII characters, read as a little-endian integer */
	FRAME_SUPER = 0x52505553,      /* "SUPR" */
	FRAME_LEASE = 0x5341454c,      /* "LEAS" */
	FRAME_SLOT = 0x544f4c53,       /* "SLOT" */
	FRAME_CHECKPOINT = 0x54504b43, /* "CKPT" */
	FRAME_SEGMENT = 0x4d474553,    /* "SEGM" */
	FRAME_ASIDE = 0x44495341,      /* "ASID" */
};

struct uuid {
	uint8_t bytes[16];
};

/* Appends header and payload to out. Errors show in out->failed. */
void frame_put(struct buf *out, uint32_t type, const struct uuid *fs, const void *payload,
	       size_t len);
/* Just the 56 bytes, for a payload that is streamed (its checksum is then checked elsewhere). */
void frame_put_header(uint8_t out[FRAME_HEADER_BYTES], uint32_t type, const struct uuid *fs,
		      uint64_t payload_len, uint64_t payload_sum);
/* Checks everything; ret_payload points into data. fs NULL: any uuid, returned in ret_fs if wanted.
 * -L3_CORRUPT with a note naming `what`; -L3_VERSION if a newer levels3fs wrote it. */
int frame_get(const void *data, size_t len, uint32_t type, const struct uuid *fs, const char *what,
	      struct rd *ret_payload, struct uuid *ret_fs);
/* The header alone: type, version, uuid and the header's own checksum. */
int frame_check_header(const void *data, size_t len, uint32_t type, const struct uuid *fs,
		       const char *what, uint64_t *ret_payload_len);

/* ---- time and randomness -----------------------------------------------------------------------
 * Handed in as a struct so that tests own time. mono runs on while the machine sleeps
 * (CLOCK_BOOTTIME): a lease must not come back to life with a laptop's lid.
 */
struct clock {
	uint64_t (*mono_ns)(struct clock *c);
	int64_t (*real_ns)(struct clock *c); /* since 1970 */
	void (*sleep_ms)(struct clock *c, uint64_t ms);
};

extern struct clock clock_system;
uint64_t clock_mono_ms(struct clock *c);

/* A condition variable on the clock that clock_wait_until uses (CLOCK_MONOTONIC). */
void cond_init(pthread_cond_t *cond);
/* Waits at most ms; the mutex is held before and after. False when time ran out. */
bool cond_wait_ms(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t ms);
bool cond_wait_ns(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t ns);

void random_bytes(void *out, size_t len); /* from the kernel; cannot fail */
uint64_t random_u64(void);

#define UUID_STR_LEN 37
void uuid_make(struct uuid *ret);
void uuid_format(const struct uuid *u, char out[UUID_STR_LEN]);

/* ---- log ---------------------------------------------------------------------------------------
 * Rooms below cli and fuse log at debug level only. What a person must hear of (fenced, the store
 * does not answer) goes through the notifier that the program handed down.
 */
enum log_level { LOG_L_ERROR, LOG_L_WARN, LOG_L_INFO, LOG_L_DEBUG };

typedef void (*log_sink_fn)(void *ctx, enum log_level level, const char *line);

/* Default: warnings and errors to stderr. The sink is called from any thread, one line at a time. */
void log_setup(enum log_level max_level, log_sink_fn sink, void *ctx);
bool log_wants(enum log_level level);
/* Any thread, any time. */
void log_set_level(enum log_level max_level);
enum log_level log_level(void);
/* "error", "warn", "info", "debug" */
const char *log_level_name(enum log_level level);
int log_level_parse(const char *name, enum log_level *ret); /* -EINVAL */
void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define log_debug(...)                                        \
	do {                                                  \
		if (log_wants(LOG_L_DEBUG))                   \
			log_line(LOG_L_DEBUG, __VA_ARGS__);   \
	} while (0)

struct notifier {
	void (*fn)(void *ctx, enum log_level level, const char *text);
	void *ctx;
};

/* n NULL or without fn: dropped. */
void notify(const struct notifier *n, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* ---- thread pool -------------------------------------------------------------------------------
 * Up to a fixed number of threads and a queue without bound: who submits bounds the work by a budget.
 * Jobs start in the order of submission. One thread is there from the beginning, more come with the
 * work.
 */
struct pool;

int pool_new(const char *name, unsigned threads, struct pool **ret);
/* 0, or -ENOMEM and the job does not run. */
int pool_submit(struct pool *p, void (*fn)(void *arg), void *arg) MUST_CHECK;
/* Waits until the queue is empty and no job runs. */
void pool_drain(struct pool *p);
/* Runs what is queued, then ends the threads. Accepts NULL. */
void pool_free(struct pool *p);

/* ---- budget ------------------------------------------------------------------------------------
 * Counts bytes of memory against a limit; who wants more than is left waits. Never wait here while
 * holding a lock that those who give back need.
 */
struct budget {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	uint64_t limit_bytes;
	uint64_t used_bytes;
	unsigned waiters;
	/* Called (without the lock) when somebody starts to wait, so that the owner can flush. */
	void (*on_pressure)(void *ctx);
	void *ctx;
};

void budget_init(struct budget *b, uint64_t limit_bytes);
void budget_release(struct budget *b);
/* Waits until used + bytes <= limit (a request above the limit passes when nothing else is used).
 * timeout_ms 0: for ever. 0 or -ETIMEDOUT. */
int budget_take(struct budget *b, uint64_t bytes, uint64_t timeout_ms) MUST_CHECK;
/* Takes without waiting, even past the limit: for bytes that already exist in another form. */
void budget_force(struct budget *b, uint64_t bytes);
void budget_give(struct budget *b, uint64_t bytes);
uint64_t budget_used(struct budget *b);

/* ---- numbers, strings ---- */
/* Whole string, no sign, no space. 0 or -EINVAL / -ERANGE. */
int parse_u64(const char *s, uint64_t *ret);
/* "512M", "1.5G", "64KiB", "10" (bytes); K M G T P, powers of 1024. */
int parse_size(const char *s, uint64_t *ret_bytes);
/* "5", "5s", "250ms", "2m", "1h": to milliseconds; a bare number is seconds. */
int parse_duration_ms(const char *s, uint64_t *ret_ms);
int parse_bool(const char *s, bool *ret); /* 1/0 yes/no true/false on/off */
/* "1.2 GiB" */
#define SIZE_STR_LEN 24
const char *format_size(uint64_t bytes, char out[SIZE_STR_LEN]);
/* The entry of names nearest to word, if near enough to be a typo of it, else NULL. */
const char *nearest_name(const char *word, const char *const *names, size_t count);

/* ---- INI files ---------------------------------------------------------------------------------
 * "[section]", "name = value" or just "name"; '#' and ';' begin comments, behind a value after a
 * blank. Everything points into the text.
 */
enum ini_kind {
	INI_SECTION,
	INI_SETTING,
	INI_UNCLOSED, /* "[section" */
	INI_NAMELESS, /* "= value" */
};

struct ini_line {
	enum ini_kind kind;
	unsigned number; /* of the line, from 1 */
	size_t indent;	 /* blanks in front */
	const char *name;
	size_t name_len;
	const char *value; /* NULL: no '=' */
	size_t value_len;
};

struct ini { /* begins as { text } */
	const char *next;
	unsigned number;
};

/* The next line that says something; false at the end. */
bool ini_next(struct ini *f, struct ini_line *ret);

/* Whole-file helpers for small local files. Limit in bytes; -EFBIG above it. */
int file_read_all(const char *path, size_t limit, struct buf *ret);

#endif
