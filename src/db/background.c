/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Life of an env: its own background thread for LevelDB (several databases live in one process and
 * must not wait for each other), its uploads, its end.
 */
#include "db/env.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* jobs_lock held */
static struct env_job *take_job(struct env *e)
{
	struct env_job *j;

	while (!e->background_stop && (!e->jobs || e->background_held))
		pthread_cond_wait(&e->jobs_changed, &e->jobs_lock);
	j = e->jobs;
	if (!j)
		return NULL;
	e->jobs = j->next;
	if (!e->jobs)
		e->jobs_end = &e->jobs;
	return j;
}

static void *background_run(void *arg)
{
	struct env *e = arg;
	struct env_job *j;

	for (;;) {
		pthread_mutex_lock(&e->jobs_lock);
		j = take_job(e);
		pthread_mutex_unlock(&e->jobs_lock);
		if (!j)
			return NULL;
		j->fn(j->arg);
		free(j);
	}
}

/* Signals are for the program's own threads. */
int db_thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(ret, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err ? err_note(-err, "cannot start a thread of the database") : 0;
}

bool db_env_on_background(struct env *e)
{
	return pthread_equal(pthread_self(), e->background);
}

/* LevelDB counts on the job being run, so without memory for it there is nothing but to wait. */
static struct env_job *job_new(struct env *e)
{
	struct env_job *j;

	while (!(j = malloc(sizeof(*j))))
		e->config.clock->sleep_ms(e->config.clock, 100);
	return j;
}

void db_env_schedule(struct env *e, void (*fn)(void *arg), void *arg)
{
	struct env_job *j = job_new(e);

	*j = (struct env_job){ NULL, fn, arg };
	pthread_mutex_lock(&e->jobs_lock);
	*e->jobs_end = j;
	e->jobs_end = &j->next;
	pthread_cond_signal(&e->jobs_changed);
	pthread_mutex_unlock(&e->jobs_lock);
}

bool db_env_pause(struct env *e, uint64_t ms)
{
	bool go_on;

	pthread_mutex_lock(&e->lock);
	if (!e->closing && !e->failed)
		cond_wait_ms(&e->changed, &e->lock, ms);
	go_on = !e->closing && !e->failed;
	pthread_mutex_unlock(&e->lock);
	return go_on;
}

int db_env_init(struct env *e, const struct env_config *config, const struct names *start)
{
	int err;

	memset(e, 0, sizeof(*e));
	e->config = *config;
	e->queue_end = &e->queue;
	e->jobs_end = &e->jobs;
	e->background_held = !config->writable;
	pthread_mutex_init(&e->lock, NULL);
	pthread_mutex_init(&e->jobs_lock, NULL);
	pthread_cond_init(&e->jobs_changed, NULL);
	cond_init(&e->changed);
	err = db_names_copy(start, &e->live);
	if (!err && config->writable)
		err = pool_new("table", config->upload_threads, &e->uploads);
	if (!err)
		err = db_thread_start(&e->background, background_run, e);
	e->background_started = !err;
	if (err)
		db_env_release(e);
	return err;
}

void db_env_shutdown(struct env *e)
{
	pthread_mutex_lock(&e->lock);
	e->closing = true;
	pthread_cond_broadcast(&e->changed);
	pthread_mutex_unlock(&e->lock);
	pthread_mutex_lock(&e->jobs_lock);
	e->background_held = false;
	pthread_cond_broadcast(&e->jobs_changed);
	pthread_mutex_unlock(&e->jobs_lock);
}

static void stop_background(struct env *e)
{
	if (!e->background_started)
		return;
	pthread_mutex_lock(&e->jobs_lock);
	e->background_stop = true;
	pthread_cond_broadcast(&e->jobs_changed);
	pthread_mutex_unlock(&e->jobs_lock);
	pthread_join(e->background, NULL);
}

void db_env_release(struct env *e)
{
	struct vfile *f, *tmp;

	db_env_shutdown(e);
	stop_background(e);
	pool_free(e->uploads);
	DL_FOREACH_SAFE (e->dirty, f, tmp)
		db_vfile_put(f);
	db_recs_free(e->queue);
	db_names_release(&e->live);
	pthread_cond_destroy(&e->changed);
	pthread_cond_destroy(&e->jobs_changed);
	pthread_mutex_destroy(&e->jobs_lock);
	pthread_mutex_destroy(&e->lock);
}

/* Any table up to that one still on its way? Those that are have their record in the queue. */
static bool uploads_lag(const struct env *e, uint64_t upto)
{
	for (const struct rec *r = e->queue; r; r = r->next)
		if (r->type == REC_TABLE && !r->file->table->uploaded &&
		    r->file->table->made <= upto)
			return true;
	return false;
}

int db_env_wait_uploads(struct env *e)
{
	bool lag = true;
	uint64_t upto;
	int err = 0;

	pthread_mutex_lock(&e->lock);
	upto = e->tables_made;
	while ((lag = uploads_lag(e, upto)) && !e->failed && !e->closing)
		pthread_cond_wait(&e->changed, &e->lock);
	if (e->failed)
		err = err_note(e->failed, "%s", e->failed_note);
	else if (lag)
		err = err_note(-ECANCELED, "shutting down");
	pthread_mutex_unlock(&e->lock);
	return err;
}

uint64_t db_env_upload_bytes(struct env *e)
{
	uint64_t n;

	pthread_mutex_lock(&e->lock);
	n = e->upload_bytes;
	pthread_mutex_unlock(&e->lock);
	return n;
}

void db_env_count(struct env *e, uint64_t *ret_tables, uint64_t *ret_table_bytes,
		  uint64_t *ret_log_bytes)
{
	struct entry *entry, *tmp;

	*ret_tables = *ret_table_bytes = *ret_log_bytes = 0;
	pthread_mutex_lock(&e->lock);
	names_each(&e->live, entry, tmp)
	{
		const struct vfile *f = entry->file;

		if (f->table) {
			(*ret_tables)++;
			*ret_table_bytes += f->table->size;
		} else if (db_name_is_log(entry->name)) {
			*ret_log_bytes += db_vfile_published(f);
		}
	}
	pthread_mutex_unlock(&e->lock);
}

int db_env_table_keys(struct env *e, struct names *ret)
{
	struct entry *entry, *tmp;
	int err = 0;

	pthread_mutex_lock(&e->lock);
	names_each(&e->live, entry, tmp)
	{
		struct table *t = entry->file->table;

		if (t && !err)
			err = db_names_set(ret, strrchr(t->key, '/') + 1, entry->file, t->size);
	}
	for (struct rec *r = e->queue; r && !err; r = r->next)
		if (r->file && r->file->table)
			err = db_names_set(ret, strrchr(r->file->table->key, '/') + 1, r->file,
					   r->file->table->size);
	pthread_mutex_unlock(&e->lock);
	return err;
}
