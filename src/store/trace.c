/* SPDX-License-Identifier: BSD-3-Clause */
/* A wrapper that counts requests and bytes, and tells who wants to know of each. */
#include "store/internal.h"

#include <errno.h>
#include <stdlib.h>

_Thread_local char store_request_id[96];

struct trace {
	struct store store;
	struct store *next;
	store_request_fn each;
	void *ctx;
	struct store_counts counts; /* fields atomic */
};

const char *store_op_name(enum store_op op)
{
	static const char *const names[STORE_OP_COUNT] = {
		[STORE_OP_GET] = "get",
		[STORE_OP_PUT] = "put",
		[STORE_OP_HEAD] = "head",
		[STORE_OP_LIST] = "list",
		[STORE_OP_COPY] = "copy",
		[STORE_OP_DELETE] = "delete",
		[STORE_OP_DELETE_MANY] = "delete_many",
		[STORE_OP_MULTIPART] = "multipart",
	};

	return names[op];
}

struct timer {
	struct trace *t;
	struct store_request r;
};

static void add(uint64_t *counter, uint64_t n)
{
	__atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

static struct timer begin(struct store *s, enum store_op op, const char *key)
{
	add(&((struct trace *)s)->counts.in_flight, 1);
	store_request_id[0] = '\0';
	return (struct timer){
		.t = (struct trace *)s,
		.r = { .op = op, .key = key, .took_ns = clock_system.mono_ns(&clock_system) }
	};
}

bool store_has_failed(int result)
{
	return result < 0 && result != -ENOENT && result != -L3_PRECONDITION &&
	       result != -ECANCELED;
}

static int finish(struct timer *timer, int result, uint64_t out, uint64_t in)
{
	struct trace *t = timer->t;

	add(&t->counts.in_flight, UINT64_MAX); /* one fewer */
	add(&t->counts.requests[timer->r.op], 1);
	if (store_has_failed(result))
		add(&t->counts.failed[timer->r.op], 1);
	add(&t->counts.bytes_out, out);
	add(&t->counts.bytes_in, in);
	if (!t->each)
		return result;
	timer->r.took_ns = clock_system.mono_ns(&clock_system) - timer->r.took_ns;
	timer->r.bytes = out + in;
	timer->r.result = result;
	timer->r.attempt = store_attempt;
	timer->r.request_id = store_request_id;
	t->each(t->ctx, &timer->r);
	return result;
}

static int trace_get(struct store *s, const char *key, uint64_t offset, uint64_t len,
		     struct buf *out, struct store_meta *ret_meta)
{
	struct timer timer = begin(s, STORE_OP_GET, key);
	size_t before = out->len;
	int err = store_get(timer.t->next, key, offset, len, out, ret_meta);

	return finish(&timer, err, 0, out->len - before);
}

static int trace_put(struct store *s, const struct store_put *put, struct store_meta *ret_meta)
{
	struct timer timer = begin(s, STORE_OP_PUT, put->key);

	return finish(&timer, store_put(timer.t->next, put, ret_meta), store_put_size(put), 0);
}

static int trace_head(struct store *s, const char *key, struct store_meta *ret_meta)
{
	struct timer timer = begin(s, STORE_OP_HEAD, key);

	return finish(&timer, store_head(timer.t->next, key, ret_meta), 0, 0);
}

static int trace_list(struct store *s, const char *prefix, const char *start_after, unsigned max,
		      struct store_list *out)
{
	struct timer timer = begin(s, STORE_OP_LIST, prefix);

	return finish(&timer, store_list(timer.t->next, prefix, start_after, max, out), 0, 0);
}

static int trace_copy(struct store *s, const char *from, const char *to)
{
	struct timer timer = begin(s, STORE_OP_COPY, to);

	return finish(&timer, store_copy(timer.t->next, from, to), 0, 0);
}

static int trace_remove(struct store *s, const char *key)
{
	struct timer timer = begin(s, STORE_OP_DELETE, key);

	return finish(&timer, store_remove(timer.t->next, key), 0, 0);
}

static int trace_remove_many(struct store *s, const char *const *keys, size_t count)
{
	struct timer timer = begin(s, STORE_OP_DELETE_MANY, keys[0]);

	return finish(&timer, store_remove_many(timer.t->next, keys, count), 0, 0);
}

static void trace_cancel(struct store *s)
{
	store_cancel(((struct trace *)s)->next);
}

static void trace_destroy(struct store *s)
{
	store_unref(((struct trace *)s)->next);
	store_fini(s);
	free(s);
}

static const struct store_ops trace_ops = {
	.name = "trace",
	.get = trace_get,
	.put = trace_put,
	.head = trace_head,
	.list = trace_list,
	.copy = trace_copy,
	.remove = trace_remove,
	.remove_many = trace_remove_many,
	.cancel = trace_cancel,
	.destroy = trace_destroy,
};

int store_wrap_trace(struct store *next, store_request_fn each, void *ctx, struct store **ret)
{
	struct trace *t = calloc(1, sizeof(*t));

	if (!t || store_init(&t->store, &trace_ops, next->url) < 0) {
		free(t);
		return -ENOMEM;
	}
	t->next = store_ref(next);
	t->each = each;
	t->ctx = ctx;
	*ret = &t->store;
	return 0;
}

void store_trace_counts(struct store *trace, struct store_counts *ret)
{
	struct trace *t = (struct trace *)trace;

	for (int i = 0; i < STORE_OP_COUNT; i++) {
		ret->requests[i] = __atomic_load_n(&t->counts.requests[i], __ATOMIC_RELAXED);
		ret->failed[i] = __atomic_load_n(&t->counts.failed[i], __ATOMIC_RELAXED);
	}
	ret->bytes_out = __atomic_load_n(&t->counts.bytes_out, __ATOMIC_RELAXED);
	ret->in_flight = __atomic_load_n(&t->counts.in_flight, __ATOMIC_RELAXED);
	ret->bytes_in = __atomic_load_n(&t->counts.bytes_in, __ATOMIC_RELAXED);
}
