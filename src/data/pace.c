/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pace: streams give way to commits.
 *
 * A stream fills whatever leads to the store, by several requests of many megabytes at a time, and a commit of a few
 * kilobytes waits behind them all. So the owner says how long each commit's request took. If they take more
 * than twice as long beside streams as without, one stream fewer is uploaded at a time, down to one; if they do not
 * suffer, one more. Where streams cost commits nothing, they are never held up; nor when nobody has committed for a
 * while, or when somebody waits for the segment itself (upload.c).
 */
#include "data/segment.h"

#define CALM_NS 1000000000 /* without commits: nobody is disturbed */
#define SLACK_NS 1000000   /* less is not worth giving way for */
#define FEW 2		   /* commits before there is one stream fewer, */
#define MANY 8		   /* or one more */

/* The last ones weigh more. */
static uint64_t average(uint64_t before, uint64_t ns, unsigned weight)
{
	return before ? before - before / weight + ns / weight : ns;
}

static void allow_locked(struct data *d, unsigned streams)
{
	unsigned more = streams > d->pace.allowed ? streams - d->pace.allowed : 0;

	d->pace.allowed = streams;
	d->pace.commits = 0;
	d->pace.beside_ns = 0;
	/* If a job is not to be had, the uploads under way go on with what is queued. */
	while (more-- > 0 && d->upload_pool)
		if (pool_submit(d->upload_pool, data_upload_job, d) < 0)
			return;
}

void data_pace_init(struct data *d)
{
	d->pace.allowed = d->config.upload_threads;
}

unsigned data_pace_locked(struct data *d, uint64_t now_ns)
{
	if (d->pace.allowed < d->config.upload_threads && now_ns - d->pace.last_ns > CALM_NS)
		allow_locked(d, d->config.upload_threads);
	return d->pace.allowed;
}

static void note_beside_locked(struct data *d, uint64_t ns)
{
	struct pace *p = &d->pace;

	p->beside_ns = average(p->beside_ns, ns, 4);
	p->commits++;
	if (!p->alone_ns)
		p->alone_ns = ns; /* until it is known better */
	if (p->commits >= FEW && p->allowed > 1 && p->beside_ns > 2 * p->alone_ns + SLACK_NS)
		allow_locked(d, max_u64(1, min_u64(p->allowed, d->streams_uploading) - 1));
	else if (p->commits >= MANY && p->allowed < d->config.upload_threads &&
		 p->beside_ns < p->alone_ns + p->alone_ns / 2)
		allow_locked(d, p->allowed + 1);
}

void data_commit_took(struct data *d, uint64_t ns)
{
	pthread_mutex_lock(&d->lock);
	d->pace.last_ns = d->config.clock->mono_ns(d->config.clock);
	if (d->streams_uploading > 0)
		note_beside_locked(d, ns);
	else
		d->pace.alone_ns = average(d->pace.alone_ns, ns, 8);
	pthread_mutex_unlock(&d->lock);
}
