/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * file: objects as files of a local folder, really durable.
 *
 *	URL/.tmp/<pid>-<n>   being written; linked or renamed into place when complete and synced
 *	URL/.lock            flock: exclusive around compare-and-swap, shared around plain writes
 *			     and deletes
 *	URL/<key>            the objects; a key's slashes are folders
 *
 * 1. A file in place is never written again. A PUT writes a temporary file, syncs it, and links it
 *    (create-only: the kernel says EEXIST) or renames it into place: an object appears whole or not
 *    at all.
 * 2. Nothing is answered before it is on disk: the folder is synced before success, and also before
 *    "exists" or "has changed", because who retries after a failed sync takes that for his success.
 *    Folders above it are synced once per handle, whoever made them.
 * 3. A swap compares and renames under the exclusive lock, which waits for every other process and
 *    thread; nothing that removes or replaces objects goes on meanwhile. Locks are never held
 *    across a sync.
 * 4. No symbolic link below the folder is followed.
 *
 * ETags: XXH3-128 of the content for objects up to ETAG_HASH_MAX (whoever swaps swaps small
 * objects); for larger ones inode number, size and modification time, whose nanoseconds are drawn at
 * random, so that a reused inode number does not repeat an etag.
 */
#include "store/file.h"
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define ETAG_HASH_MAX (1024 * 1024)
#define NS_PER_S 1000000000
#define SYNCED_MAX 32
#define LOCK_FILE ".lock"

struct file_store {
	struct store store;
	int root;		  /* the folder */
	int tmp;		  /* its .tmp, -1 until first needed */
	pthread_mutex_t setup;	  /* tmp, synced */
	uint64_t serial;	  /* atomic: names of temporary files */
	char *synced[SYNCED_MAX]; /* folders whose own entries are known to be on disk */
	unsigned synced_count;
	bool cancelled; /* atomic */
};

static int os_error(const char *what, const char *key)
{
	int err = errno;

	switch (err) {
	case ENOENT:
	case ENOSPC:
	case EDQUOT:
	case ENOMEM:
		return err_note(-err, "%s %s: %s", what, key, strerrordesc_np(err));
	case EACCES:
	case EPERM:
		return err_note(
			-L3_DENIED,
			"%s %s: %s; user %u needs the right to read and write in the folder", what,
			key, strerrordesc_np(err), (unsigned)geteuid());
	case EROFS:
		return err_note(-L3_DENIED, "%s %s: %s; with the option ro it can be read", what,
				key, strerrordesc_np(err));
	case ELOOP:
		return err_note(-L3_DENIED,
				"%s %s: a symbolic link is there, which file stores do not follow",
				what, key);
	case EISDIR:
	case ENOTDIR:
		return err_note(
			-EINVAL,
			"%s %s: a file store cannot hold an object and others below its key", what,
			key);
	case ENAMETOOLONG:
		return err_note(-EINVAL, "%s %s: a part of the key is longer than %d bytes", what,
				key, NAME_MAX);
	default:
		return err_note(-L3_SERVER, "%s %s: %s", what, key, strerrordesc_np(err));
	}
}

/* Every call begins here. A folder that was deleted answers "no such object" to everything: not
 * from us. */
static int enter(struct store *s, const char *what, const char *key)
{
	struct file_store *f = (struct file_store *)s;
	struct stat st;

	if (__atomic_load_n(&f->cancelled, __ATOMIC_ACQUIRE))
		return err_note(-ECANCELED, "%s %s: cancelled", what, key);
	if (fstat(f->root, &st) < 0)
		return os_error(what, key);
	if (st.st_nlink == 0)
		return err_note(-L3_NO_BUCKET, "%s %s: the folder of %s has been deleted", what,
				key, s->url);
	return 0;
}

static int enter_object(struct store *s, const char *what, const char *key)
{
	if (key[0] == '.')
		return err_note(-EINVAL,
				"%s %s: a file store keeps no objects whose key begins with a dot",
				what, key);
	return enter(s, what, key);
}

/* Into a folder of dir, made if need be. Other kinds of files open too: using them gives ENOTDIR.
 */
static int open_step(int dir, const char *name, bool make)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int fd = openat(dir, name, flags);

	if (fd >= 0 || errno != ENOENT || !make)
		return fd;
	if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
		return -1;
	return openat(dir, name, flags);
}

/* The folder that holds key, and what it is called there. -1 with errno. */
static int open_parent(struct file_store *f, const char *key, bool make, const char **ret_leaf)
{
	int dir = fcntl(f->root, F_DUPFD_CLOEXEC, 0);
	char name[NAME_MAX + 1];

	while (dir >= 0 && strchr(key, '/')) {
		int len = (int)strcspn(key, "/"), next = -1, saved;

		errno = ENAMETOOLONG;
		if (len <= NAME_MAX) {
			(void)snprintf(name, sizeof(name), "%.*s", len, key);
			next = open_step(dir, name, make);
		}
		saved = errno;
		(void)close(dir);
		errno = saved;
		dir = next;
		key += len + 1;
	}
	*ret_leaf = key;
	return dir;
}

/* ---- reading ---- */

static int read_all_at(int fd, struct buf *out, uint64_t offset, uint64_t len)
{
	if (buf_reserve(out, len) < 0)
		return -ENOMEM;
	while (len > 0) {
		ssize_t n = pread(fd, out->data + out->len, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -L3_SERVER; /* shorter than fstat said: no file of ours ever shrinks
					    */
		out->len += (size_t)n;
		offset += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

static int hash_etag(int fd, uint64_t size, char etag[STORE_ETAG_MAX])
{
	struct buf content CLEANUP(buf_release) = BUF_INIT;
	XXH128_hash_t h;
	int err = read_all_at(fd, &content, 0, size);

	if (err < 0)
		return err;
	h = XXH3_128bits(content.data, content.len);
	(void)snprintf(etag, STORE_ETAG_MAX, "%016llx%016llx", (unsigned long long)h.high64,
		       (unsigned long long)h.low64);
	return 0;
}

static int read_meta(int fd, const struct stat *st, struct store_meta *ret)
{
	*ret = (struct store_meta){ .size_bytes = (uint64_t)st->st_size,
				    .mtime_s = st->st_mtim.tv_sec };
	if (st->st_size <= ETAG_HASH_MAX)
		return hash_etag(fd, (uint64_t)st->st_size, ret->etag);
	(void)snprintf(ret->etag, sizeof(ret->etag), "%llx-%llx-%llx.%lx",
		       (unsigned long long)st->st_ino, (unsigned long long)st->st_size,
		       (unsigned long long)st->st_mtim.tv_sec, (unsigned long)st->st_mtim.tv_nsec);
	return 0;
}

static int open_object(struct store *s, const char *what, const char *key, struct stat *ret_st)
{
	const char *leaf;
	int err = enter_object(s, what, key);
	int dir CLEANUP(close_fd) =
		err < 0 ? -1 : open_parent((struct file_store *)s, key, false, &leaf);
	int fd = dir < 0 ? -1 : openat(dir, leaf, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (err < 0)
		return err;
	if (fd < 0 && (errno == ENOTDIR || errno == ENAMETOOLONG))
		errno = ENOENT;
	if (fd < 0)
		return os_error(what, key);
	if (fstat(fd, ret_st) < 0 || !S_ISREG(ret_st->st_mode)) {
		(void)close(fd);
		errno = ENOENT;
		return os_error(what, key);
	}
	return fd;
}

static int file_get(struct store *s, const char *key, uint64_t offset, uint64_t len,
		    struct buf *out, struct store_meta *ret_meta)
{
	struct stat st;
	size_t before = out->len;
	int fd CLEANUP(close_fd) = open_object(s, "GET", key, &st);
	int err = 0;

	if (fd < 0)
		return fd;
	if (offset < (uint64_t)st.st_size)
		err = read_all_at(fd, out, offset, min_u64(len, (uint64_t)st.st_size - offset));
	if (err >= 0 && ret_meta)
		err = read_meta(fd, &st, ret_meta);
	if (err < 0) {
		out->len = before;
		return err_note(err, "GET %s: %s", key, err_text(err));
	}
	return 0;
}

static int file_head(struct store *s, const char *key, struct store_meta *ret_meta)
{
	struct stat st;
	int fd CLEANUP(close_fd) = open_object(s, "HEAD", key, &st);
	int err;

	if (fd < 0)
		return fd;
	err = read_meta(fd, &st, ret_meta);
	return err < 0 ? err_note(err, "HEAD %s: %s", key, err_text(err)) : 0;
}

/* ---- writing ---- */

static int open_tmp_dir(struct file_store *f)
{
	int fd;

	pthread_mutex_lock(&f->setup);
	if (f->tmp < 0) {
		if (mkdirat(f->root, FILE_TMP_DIR, 0700) < 0 && errno != EEXIST)
			f->tmp = -1;
		else
			f->tmp = openat(f->root, FILE_TMP_DIR,
					O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	fd = f->tmp;
	pthread_mutex_unlock(&f->setup);
	return fd;
}

static int write_iov(int fd, const struct store_put *put)
{
	for (int i = 0; i < put->iovcnt; i++) {
		const uint8_t *p = put->iov[i].iov_base;
		size_t left = put->iov[i].iov_len;

		while (left > 0) {
			ssize_t n = write(fd, p, left);

			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return -1;
			p += n;
			left -= (size_t)n;
		}
	}
	return 0;
}

/* Large objects are told apart by their time, so it must not repeat. */
static int stamp(int fd)
{
	struct timespec t[2] = { { .tv_nsec = UTIME_OMIT },
				 { .tv_sec = clock_system.real_ns(&clock_system) / NS_PER_S,
				   .tv_nsec = (long)(random_u64() % NS_PER_S) } };

	return futimens(fd, t);
}

static size_t dir_len(const char *key)
{
	const char *slash = strrchr(key, '/');

	return slash ? (size_t)(slash - key) : 0;
}

static bool is_synced(struct file_store *f, const char *key, bool remember)
{
	size_t n = dir_len(key);
	bool found = false;

	pthread_mutex_lock(&f->setup);
	for (unsigned i = 0; i < f->synced_count && !found; i++)
		found = strlen(f->synced[i]) == n && memcmp(f->synced[i], key, n) == 0;
	if (!found && remember && f->synced_count < SYNCED_MAX &&
	    (f->synced[f->synced_count] = strndup(key, n)))
		f->synced_count++;
	pthread_mutex_unlock(&f->setup);
	return found;
}

/* dir holds key. Whoever made it may not have synced the folders above yet, so we do, once. */
static int sync_folders(struct file_store *f, int dir, const char *key)
{
	char path[STORE_KEY_MAX + 1];
	char *slash;

	if (fsync(dir) < 0)
		return -1;
	if (is_synced(f, key, false))
		return 0;
	(void)snprintf(path, sizeof(path), "%s", key);
	while ((slash = strrchr(path, '/'))) {
		const char *leaf;
		int above CLEANUP(close_fd) = -1;

		*slash = '\0';
		above = open_parent(f, path, false, &leaf);
		if (above < 0 || fsync(above) < 0)
			return -1;
	}
	(void)is_synced(f, key, true);
	return 0;
}

/* LOCK_SH or LOCK_EX. Each call opens the file anew, so threads exclude each other as processes do.
 */
static int lock_store(struct file_store *f, int how)
{
	int fd = openat(f->root, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	while (fd >= 0 && flock(fd, how) < 0) {
		if (errno != EINTR) {
			close_fd(&fd);
			errno = ENOLCK;
		}
	}
	return fd;
}

/* By name, since a child that was forked meanwhile has the descriptor too. */
static void unlock_store(int *fd)
{
	if (*fd >= 0)
		(void)flock(*fd, LOCK_UN);
	close_fd(fd);
}

static int check_match(struct store *s, const struct store_put *put)
{
	struct store_meta present;
	int err = file_head(s, put->key, &present);

	if (err == -ENOENT)
		return err_note(-L3_PRECONDITION, "PUT %s: does not exist", put->key);
	if (err >= 0 && strcmp(present.etag, put->match_etag) != 0)
		return err_note(-L3_PRECONDITION, "PUT %s: has changed", put->key);
	return err;
}

static int replace(struct store *s, const char *tmp_name, int dir, const char *leaf,
		   const struct store_put *put)
{
	struct file_store *f = (struct file_store *)s;
	int lock CLEANUP(unlock_store) =
		lock_store(f, put->cond == STORE_MATCH ? LOCK_EX : LOCK_SH);
	int err = 0;

	if (lock < 0)
		return os_error("PUT", put->key);
	if (put->cond == STORE_MATCH)
		err = check_match(s, put);
	if (err >= 0 && renameat(f->tmp, tmp_name, dir, leaf) < 0)
		err = os_error("PUT", put->key);
	return err;
}

static int create(struct file_store *f, const char *tmp_name, int dir, const char *leaf,
		  const struct store_put *put)
{
	struct stat st;
	int r = linkat(f->tmp, tmp_name, dir, leaf, 0);

	if (r < 0 && (errno == EPERM || errno == EOPNOTSUPP)) /* no hard links here */
		r = renameat2(f->tmp, tmp_name, dir, leaf, RENAME_NOREPLACE);
	if (r == 0)
		return 0;
	if (errno != EEXIST)
		return os_error("PUT", put->key);
	if (fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		return os_error("PUT", put->key);
	}
	return err_note(-L3_PRECONDITION, "PUT %s: exists", put->key);
}

static int put_in_place(struct store *s, const char *tmp_name, const struct store_put *put)
{
	struct file_store *f = (struct file_store *)s;
	const char *leaf;
	int dir CLEANUP(close_fd) = open_parent(f, put->key, put->cond != STORE_MATCH, &leaf);
	int err;

	if (dir < 0 && put->cond == STORE_MATCH && (errno == ENOENT || errno == ENOTDIR))
		return err_note(-L3_PRECONDITION, "PUT %s: does not exist", put->key);
	if (dir < 0)
		return os_error("PUT", put->key);
	err = put->cond == STORE_CREATE ? create(f, tmp_name, dir, leaf, put)
					: replace(s, tmp_name, dir, leaf, put);
	if ((err >= 0 || err == -L3_PRECONDITION) && sync_folders(f, dir, put->key) < 0)
		err = os_error("PUT", put->key);
	return err;
}

struct tmp_file {
	int fd;
	char name[40];
};

static void close_tmp(struct tmp_file *t)
{
	close_fd(&t->fd);
}

static int open_tmp(struct store *s, const char *key, struct tmp_file *t)
{
	struct file_store *f = (struct file_store *)s;
	uint64_t serial = __atomic_add_fetch(&f->serial, 1, __ATOMIC_RELAXED);
	int err = enter_object(s, "PUT", key);

	if (err < 0)
		return err;
	(void)snprintf(t->name, sizeof(t->name), "%d-%llx", (int)getpid(),
		       (unsigned long long)serial);
	if (open_tmp_dir(f) >= 0)
		t->fd = openat(f->tmp, t->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			       0600);
	return t->fd < 0 ? os_error("PUT", key) : 0;
}

/* From a complete temporary file (filled: 0, else -1 with errno) to the object; the name is gone
 * after. */
static int finish_tmp(struct store *s, struct tmp_file *t, int filled, const struct store_put *put,
		      struct store_meta *ret_meta)
{
	struct stat st;
	int err;

	if (filled < 0 || stamp(t->fd) < 0 || fsync(t->fd) < 0 || fstat(t->fd, &st) < 0)
		err = os_error("PUT", put->key);
	else
		err = put_in_place(s, t->name, put);
	if (err < 0 || put->cond == STORE_CREATE) /* otherwise it was renamed away */
		(void)unlinkat(((struct file_store *)s)->tmp, t->name, 0);
	return err < 0 || !ret_meta ? err : read_meta(t->fd, &st, ret_meta);
}

static int file_put(struct store *s, const struct store_put *put, struct store_meta *ret_meta)
{
	struct tmp_file t CLEANUP(close_tmp) = { .fd = -1 };
	int err = open_tmp(s, put->key, &t);

	return err < 0 ? err : finish_tmp(s, &t, write_iov(t.fd, put), put, ret_meta);
}

static int copy_bytes(int to, int from, uint64_t left)
{
	while (left > 0) {
		ssize_t n = sendfile(to, from, NULL, min_u64(left, GIB));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n == 0 ? EIO : errno; /* files of ours never shrink */
			return -1;
		}
		left -= (uint64_t)n;
	}
	return 0;
}

static int file_copy(struct store *s, const char *from, const char *to)
{
	struct tmp_file t CLEANUP(close_tmp) = { .fd = -1 };
	struct store_put put = { .key = to, .cond = STORE_ALWAYS };
	struct stat st;
	int source CLEANUP(close_fd) = open_object(s, "COPY", from, &st);
	int err = source < 0 ? source : open_tmp(s, to, &t);

	if (err < 0)
		return err;
	return finish_tmp(s, &t, copy_bytes(t.fd, source, (uint64_t)st.st_size), &put, NULL);
}

/* ---- deleting ---- */

/* sync: also when there was nothing, which may be the work of a delete whose sync failed. */
static int remove_one(struct store *s, const char *key, bool sync)
{
	struct file_store *f = (struct file_store *)s;
	const char *leaf;
	int err = enter_object(s, "DELETE", key);
	int dir CLEANUP(close_fd) = err < 0 ? -1 : open_parent(f, key, false, &leaf);
	int lock CLEANUP(unlock_store) = dir < 0 ? -1 : lock_store(f, LOCK_SH);

	if (err < 0)
		return err;
	if (dir < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG
			       ? 0
			       : os_error("DELETE", key);
	if (lock < 0)
		return os_error("DELETE", key);
	if (unlinkat(dir, leaf, 0) < 0 && errno != ENOENT && errno != ENOTDIR && errno != EISDIR &&
	    errno != ENAMETOOLONG)
		return os_error("DELETE", key);
	unlock_store(&lock);
	return sync && fsync(dir) < 0 ? os_error("DELETE", key) : 0;
}

static int file_remove(struct store *s, const char *key)
{
	return remove_one(s, key, true);
}

/* Neighbours in one folder share its sync. */
static int file_remove_many(struct store *s, const char *const *keys, size_t count)
{
	int err = 0;

	for (size_t i = 0; i < count && err >= 0; i++) {
		size_t n = dir_len(keys[i]);
		bool last_of_folder = i + 1 == count || dir_len(keys[i + 1]) != n ||
				      memcmp(keys[i], keys[i + 1], n) != 0;

		err = remove_one(s, keys[i], last_of_folder);
	}
	return err;
}

/* ---- listing ---- */

static int file_list(struct store *s, const char *prefix, const char *start_after, unsigned max,
		     struct store_list *out)
{
	int err = enter(s, "LIST", prefix);

	if (err < 0)
		return err;
	err = store_file_walk(((struct file_store *)s)->root, prefix, start_after, max, out);
	if (err >= 0)
		return 0;
	errno = -err;
	return os_error("LIST", prefix);
}

/* ---- life ---- */

static void file_cancel(struct store *s)
{
	__atomic_store_n(&((struct file_store *)s)->cancelled, true, __ATOMIC_RELEASE);
}

static void file_destroy(struct store *s)
{
	struct file_store *f = (struct file_store *)s;

	for (unsigned i = 0; i < f->synced_count; i++)
		free(f->synced[i]);
	close_fd(&f->root);
	close_fd(&f->tmp);
	pthread_mutex_destroy(&f->setup);
	store_fini(s);
	free(f);
}

static const struct store_ops file_ops = {
	.name = "file",
	.get = file_get,
	.put = file_put,
	.head = file_head,
	.list = file_list,
	.copy = file_copy,
	.remove = file_remove,
	.remove_many = file_remove_many,
	.cancel = file_cancel,
	.destroy = file_destroy,
};

int store_file_open(const char *url, const struct store_config *config, struct store **ret)
{
	struct file_store *f;
	int root, err = store_file_root(url, config->create, &root);

	if (err < 0)
		return err;
	f = calloc(1, sizeof(*f));
	if (!f || store_init(&f->store, &file_ops, url) < 0) {
		(void)close(root);
		free(f);
		return -ENOMEM;
	}
	f->root = root;
	f->tmp = -1;
	f->serial = random_u64() >> 16 << 16;
	pthread_mutex_init(&f->setup, NULL);
	*ret = &f->store;
	return 0;
}
