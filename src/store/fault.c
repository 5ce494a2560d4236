/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A wrapper that makes things go wrong as a plan says: the tests' way to lose requests, answers,
 * and the machine. Operations are numbered from 1; the plan decides each before it happens.
 */
#include "store/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct late { /* an effect that comes with store_fault_resume */
	enum store_op op;
	char *key, *to, *etag;
	enum store_cond cond;
	struct buf data;
	char **keys; /* DELETE_MANY */
	size_t key_count;
	struct late *next;
};

struct fault {
	struct store store;
	struct store *next;
	struct store_fault_plan plan;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t count;
	uint64_t resumes; /* grows with every store_fault_resume */
	bool cancelled, dead;
	struct late *late, **late_end;
};

/* One call, as the generic code sees it: what it is, and how to do it. */
struct call {
	struct fault *f;
	enum store_op op;
	const char *key;
	const char *to;
	const struct store_put *put;
	int (*perform)(struct call *c);
	/* arguments and results of the others */
	uint64_t offset, len;
	struct buf *out;
	struct store_meta *meta;
	struct store_list *list;
	const char *start_after;
	unsigned max;
	const char *const *keys;
	size_t key_count;
	uint64_t number;
	uint64_t resumes; /* before this call */
};

static void late_free(struct late *l)
{
	for (size_t i = 0; i < l->key_count; i++)
		free(l->keys[i]);
	free(l->keys);
	free(l->key);
	free(l->to);
	free(l->etag);
	buf_release(&l->data);
	free(l);
}

static void late_perform(struct fault *f, struct late *l)
{
	switch (l->op) {
	case STORE_OP_PUT:
		(void)store_put_bytes(f->next, l->key, l->data.data, l->data.len, l->cond, l->etag,
				      NULL);
		break;
	case STORE_OP_COPY:
		(void)store_copy(f->next, l->key, l->to);
		break;
	case STORE_OP_DELETE:
		(void)store_remove(f->next, l->key);
		break;
	case STORE_OP_DELETE_MANY:
		(void)store_remove_many(f->next, (const char *const *)l->keys, l->key_count);
		break;
	default:
		break; /* reads have no effect */
	}
}

static bool copy_string(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return *to || !from;
}

static bool copy_keys(struct late *l, const struct call *c)
{
	l->keys = c->key_count ? calloc(c->key_count, sizeof(*l->keys)) : NULL;
	while (l->keys && l->key_count < c->key_count &&
	       copy_string(&l->keys[l->key_count], c->keys[l->key_count]))
		l->key_count++;
	return l->key_count == c->key_count;
}

static bool copy_put(struct late *l, const struct store_put *put)
{
	l->cond = put->cond;
	for (int i = 0; i < put->iovcnt; i++)
		buf_add(&l->data, put->iov[i].iov_base, put->iov[i].iov_len);
	return buf_error(&l->data) == 0 && copy_string(&l->etag, put->match_etag);
}

/* NULL without memory: a request that never arrives is as good. */
static struct late *late_new(const struct call *c)
{
	struct late *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->op = c->op;
	if (copy_string(&l->key, c->key) && copy_string(&l->to, c->to) && copy_keys(l, c) &&
	    (!c->put || copy_put(l, c->put)))
		return l;
	late_free(l);
	return NULL;
}

static void remember_late(const struct call *c)
{
	struct fault *f = c->f;
	struct late *l = late_new(c);

	if (!l)
		return;
	pthread_mutex_lock(&f->lock);
	*f->late_end = l;
	f->late_end = &l->next;
	pthread_mutex_unlock(&f->lock);
}

/* Until a resume that came after the operation got its number. */
static int hang(struct call *c)
{
	struct fault *f = c->f;
	int err;

	pthread_mutex_lock(&f->lock);
	while (!f->cancelled && !f->dead && f->resumes == c->resumes)
		pthread_cond_wait(&f->changed, &f->lock);
	err = f->cancelled || f->dead ? -ECANCELED : -L3_UNREACHABLE;
	pthread_mutex_unlock(&f->lock);
	return err_note(err, "%s: fault: hung", c->key);
}

static int die(struct call *c)
{
	pthread_mutex_lock(&c->f->lock);
	c->f->dead = true;
	pthread_cond_broadcast(&c->f->changed);
	pthread_mutex_unlock(&c->f->lock);
	return err_note(-ECANCELED, "%s: fault: the machine is gone", c->key);
}

/* Another one for each operation. */
static int flip_bit(struct call *c)
{
	size_t before = c->out ? c->out->len : 0;
	int err = c->perform(c);
	uint64_t place = c->number * 0x9e3779b97f4a7c15ull >> 16;

	if (err >= 0 && c->out && c->out->len > before)
		c->out->data[before + place % (c->out->len - before)] ^= 0x10;
	return err;
}

static bool has_effect(enum store_op op)
{
	return op == STORE_OP_PUT || op == STORE_OP_COPY || op == STORE_OP_DELETE ||
	       op == STORE_OP_DELETE_MANY;
}

/* The caller hears of the first. */
static int perform_twice(struct call *c)
{
	struct store_meta unused, *meta = c->meta;
	int err = c->perform(c);

	if (has_effect(c->op)) {
		struct buf note CLEANUP(buf_release) = BUF_INIT;

		buf_add_str(&note, err_last_note());
		c->meta = &unused;
		(void)c->perform(c);
		c->meta = meta;
		(void)err_note(err, "%s", buf_cstr(&note));
	}
	return err;
}

static int misbehave(struct call *c, enum store_fault what, int error)
{
	switch (what) {
	case STORE_FAULT_ERROR_BEFORE:
		return err_note(error, "%s: fault before effect", c->key);
	case STORE_FAULT_ERROR_AFTER:
		(void)c->perform(c);
		return err_note(error, "%s: fault after effect", c->key);
	case STORE_FAULT_THROTTLE:
		return err_note(-L3_THROTTLED, "%s: fault: slow down", c->key);
	case STORE_FAULT_HANG:
		return hang(c);
	case STORE_FAULT_HANG_AFTER:
		(void)c->perform(c);
		return hang(c);
	case STORE_FAULT_DUPLICATE:
		return perform_twice(c);
	case STORE_FAULT_LATE:
		remember_late(c);
		return err_note(-L3_UNREACHABLE, "%s: fault: on its way for long", c->key);
	case STORE_FAULT_DEAD:
		return die(c);
	case STORE_FAULT_FLIP:
		return flip_bit(c);
	default:
		return c->perform(c);
	}
}

static void undo_read(struct call *c, size_t out_len, size_t list_count)
{
	if (c->out)
		c->out->len = out_len;
	if (c->list)
		while (c->list->count > list_count)
			free(c->list->entries[--c->list->count].key);
}

static int run(struct call *c)
{
	struct fault *f = c->f;
	size_t out_len = c->out ? c->out->len : 0, list_count = c->list ? c->list->count : 0;
	enum store_fault what = STORE_FAULT_NONE;
	int error = -L3_UNREACHABLE, err;
	uint64_t number;
	bool stopped;

	pthread_mutex_lock(&f->lock);
	stopped = f->dead || f->cancelled;
	number = c->number = ++f->count;
	c->resumes = f->resumes;
	pthread_mutex_unlock(&f->lock);
	if (stopped)
		return err_note(-ECANCELED, "%s: fault: the machine is gone", c->key);
	if (f->plan.decide)
		what = f->plan.decide(f->plan.ctx, number, c->op, c->key, &error);
	err = misbehave(c, what, error);
	if (err < 0)
		undo_read(c, out_len, list_count);
	return err;
}

static int perform_get(struct call *c)
{
	return store_get(c->f->next, c->key, c->offset, c->len, c->out, c->meta);
}

static int fault_get(struct store *s, const char *key, uint64_t offset, uint64_t len,
		     struct buf *out, struct store_meta *ret_meta)
{
	return run(&(struct call){ .f = (struct fault *)s,
				   .op = STORE_OP_GET,
				   .key = key,
				   .perform = perform_get,
				   .offset = offset,
				   .len = len,
				   .out = out,
				   .meta = ret_meta });
}

static int perform_put(struct call *c)
{
	return store_put(c->f->next, c->put, c->meta);
}

static int fault_put(struct store *s, const struct store_put *put, struct store_meta *ret_meta)
{
	return run(&(struct call){ .f = (struct fault *)s,
				   .op = STORE_OP_PUT,
				   .key = put->key,
				   .perform = perform_put,
				   .put = put,
				   .meta = ret_meta });
}

static int perform_head(struct call *c)
{
	return store_head(c->f->next, c->key, c->meta);
}

static int fault_head(struct store *s, const char *key, struct store_meta *ret_meta)
{
	return run(&(struct call){ .f = (struct fault *)s,
				   .op = STORE_OP_HEAD,
				   .key = key,
				   .perform = perform_head,
				   .meta = ret_meta });
}

static int perform_list(struct call *c)
{
	return store_list(c->f->next, c->key, c->start_after, c->max, c->list);
}

static int fault_list(struct store *s, const char *prefix, const char *start_after, unsigned max,
		      struct store_list *out)
{
	return run(&(struct call){ .f = (struct fault *)s,
				   .op = STORE_OP_LIST,
				   .key = prefix,
				   .perform = perform_list,
				   .start_after = start_after,
				   .max = max,
				   .list = out });
}

static int perform_copy(struct call *c)
{
	return store_copy(c->f->next, c->key, c->to);
}

static int fault_copy(struct store *s, const char *from, const char *to)
{
	return run(&(struct call){ .f = (struct fault *)s,
				   .op = STORE_OP_COPY,
				   .key = from,
				   .perform = perform_copy,
				   .to = to });
}

static int perform_remove(struct call *c)
{
	return store_remove(c->f->next, c->key);
}

static int fault_remove(struct store *s, const char *key)
{
	return run(&(struct call){ .f = (struct fault *)s,
				   .op = STORE_OP_DELETE,
				   .key = key,
				   .perform = perform_remove });
}

static int perform_remove_many(struct call *c)
{
	return store_remove_many(c->f->next, c->keys, c->key_count);
}

static int fault_remove_many(struct store *s, const char *const *keys, size_t count)
{
	return run(&(struct call){ .f = (struct fault *)s,
				   .op = STORE_OP_DELETE_MANY,
				   .key = keys[0],
				   .perform = perform_remove_many,
				   .keys = keys,
				   .key_count = count });
}

static void fault_cancel(struct store *s)
{
	struct fault *f = (struct fault *)s;

	pthread_mutex_lock(&f->lock);
	f->cancelled = true;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
	store_cancel(f->next);
}

static void fault_destroy(struct store *s)
{
	struct fault *f = (struct fault *)s;

	while (f->late) {
		struct late *l = f->late;

		f->late = l->next;
		late_free(l);
	}
	store_unref(f->next);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->changed);
	store_fini(s);
	free(f);
}

static const struct store_ops fault_ops = {
	.name = "fault",
	.get = fault_get,
	.put = fault_put,
	.head = fault_head,
	.list = fault_list,
	.copy = fault_copy,
	.remove = fault_remove,
	.remove_many = fault_remove_many,
	.cancel = fault_cancel,
	.destroy = fault_destroy,
};

int store_wrap_fault(struct store *next, const struct store_fault_plan *plan, struct store **ret)
{
	struct fault *f = calloc(1, sizeof(*f));

	if (!f || store_init(&f->store, &fault_ops, next->url) < 0) {
		free(f);
		return -ENOMEM;
	}
	f->next = store_ref(next);
	f->plan = *plan;
	f->late_end = &f->late;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	*ret = &f->store;
	return 0;
}

uint64_t store_fault_count(struct store *fault)
{
	struct fault *f = (struct fault *)fault;
	uint64_t count;

	pthread_mutex_lock(&f->lock);
	count = f->count;
	pthread_mutex_unlock(&f->lock);
	return count;
}

void store_fault_resume(struct store *fault)
{
	struct fault *f = (struct fault *)fault;
	struct late *l;

	pthread_mutex_lock(&f->lock);
	l = f->late;
	f->late = NULL;
	f->late_end = &f->late;
	f->resumes++;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
	while (l) {
		struct late *next = l->next;

		late_perform(f, l);
		late_free(l);
		l = next;
	}
}
