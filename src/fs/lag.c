/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lag: how old the oldest change is that a crash now would lose.
 *
 * A change is first in one of two places: bytes in sets of an inode (dirty, frozen), other changes,
 * and bytes that have entered, in batches of the database. The database makes batches durable cut
 * by cut, one cut at a time. So three times are kept: of each inode's oldest set, of the first batch
 * after the last cut, and of the first one within that cut.
 */
#include "fs/bytes.h"

/* Inodes are listed in the order in which they became dirty: the oldest are among the first, but for
 * those that never are clean. Nobody should wait for the list while more of them are looked at. */
#define LOOK_AT 1024

void lag_note_bytes(struct inode *i)
{
	int64_t since = i->frozen ? i->frozen->since_ns : i->dirty.since_ns;

	__atomic_store_n(&i->unsaved_since_ns, since, __ATOMIC_RELAXED);
}

void lag_note_batch(struct fs *fs)
{
	int64_t none = 0;

	if (__atomic_load_n(&fs->batch_since_ns, __ATOMIC_RELAXED) == 0)
		(void)__atomic_compare_exchange_n(&fs->batch_since_ns, &none, fs_now_ns(fs), false,
						  __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* lag_lock held */
static bool is_waiting(struct fs *fs)
{
	return fs->sealed_since_ns && !db_cut_is_durable(fs->db, fs->sealed_cut);
}

void lag_seal(struct fs *fs)
{
	int64_t since = __atomic_exchange_n(&fs->batch_since_ns, 0, __ATOMIC_RELAXED);

	pthread_mutex_lock(&fs->lag_lock);
	/* The cut before this one may have failed. */
	if (!is_waiting(fs))
		fs->sealed_since_ns = since;
	fs->sealed_cut = db_next_cut(fs->db);
	pthread_mutex_unlock(&fs->lag_lock);
}

static int64_t older(int64_t a, int64_t b)
{
	if (a == 0 || b == 0)
		return a ? a : b;
	return a < b ? a : b;
}

static int64_t oldest_bytes(struct fs *fs)
{
	struct inode *i;
	int64_t since = 0;
	unsigned seen = 0;

	pthread_mutex_lock(&fs->dirty_lock);
	DL_FOREACH2(fs->dirty_inodes, i, dirty_next)
	{
		if (++seen > LOOK_AT)
			break;
		since = older(since, __atomic_load_n(&i->unsaved_since_ns, __ATOMIC_RELAXED));
	}
	pthread_mutex_unlock(&fs->dirty_lock);
	return since;
}

int64_t lag_since_ns(struct fs *fs)
{
	int64_t since =
		older(oldest_bytes(fs), __atomic_load_n(&fs->batch_since_ns, __ATOMIC_RELAXED));

	pthread_mutex_lock(&fs->lag_lock);
	if (is_waiting(fs))
		since = older(since, fs->sealed_since_ns);
	pthread_mutex_unlock(&fs->lag_lock);
	return since;
}
