/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * file: objects as files of a local folder, really durable.
 *
 *	URL/.tmp/<pid>-<n>   being written; renamed or linked into place when complete and synced
 *	URL/.lock            held (flock) around compare-and-swap, which must exclude other processes
 *	URL/<key>            the objects; a key's slashes are folders
 *
 * A PUT is: write the temporary file, fsync it, link(2) it (create-only: the kernel says EEXIST) or
 * rename(2) it into place, fsync the folder. So an object appears whole or not at all, and 0 means on
 * disk. Folders that a PUT had to make are synced up to the root.
 *
 * ETags: XXH3-128 of the content for objects up to ETAG_HASH_MAX (whoever swaps swaps small objects),
 * inode number, size and mtime in ns for larger ones. Every compare-and-swap writes a new file, and a file in
 * place is never written again.
 */
#include "store/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define ETAG_HASH_MAX (1024 * 1024)
#define LIST_PAGE 1000
#define STALE_TMP_S 3600
#define SYNCED_MAX 32
#define TMP_DIR ".tmp"
#define LOCK_FILE ".lock"

struct file_store {
	struct store store;
	int root;		   /* the folder */
	int tmp;		   /* its .tmp, -1 until first needed */
	pthread_mutex_t setup;	   /* making .tmp */
	pthread_mutex_t swap;	   /* compare-and-swap among our threads; flock does it among processes */
	uint64_t serial;	   /* atomic: names of temporary files */
	char *synced[SYNCED_MAX];  /* under setup: folders known to be on disk themselves */
	unsigned synced_count;
	bool cancelled;		   /* atomic */
};

static int os_error(const char *what, const char *key)
{
	int err = errno;

	switch (err) {
	case ENOENT:
	case ENOSPC:
	case EDQUOT:
	case ENOMEM:
		break;
	case EACCES:
	case EPERM:
	case EROFS:
		return err_note(-L3_DENIED, "%s %s: %s", what, key, strerrordesc_np(err));
	default:
		return err_note(-L3_SERVER, "%s %s: %s", what, key, strerrordesc_np(err));
	}
	return err_note(-err, "%s %s: %s", what, key, strerrordesc_np(err));
}

static int check_cancelled(struct store *s, const char *what, const char *key)
{
	struct file_store *f = (struct file_store *)s;

	if (!__atomic_load_n(&f->cancelled, __ATOMIC_ACQUIRE))
		return 0;
	return err_note(-ECANCELED, "%s %s: cancelled", what, key);
}

/* Names that start with a dot are the store's own. */
static int check_hidden(const char *what, const char *key)
{
	if (key[0] == '.')
		return err_note(-EINVAL, "%s %s: a file store keeps no objects whose key begins with a dot",
				what, key);
	return 0;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

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
			return -L3_SERVER; /* shorter than fstat said: no file of ours ever shrinks */
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
	*ret = (struct store_meta){ .size_bytes = (uint64_t)st->st_size, .mtime_s = st->st_mtim.tv_sec };
	if (st->st_size <= ETAG_HASH_MAX)
		return hash_etag(fd, (uint64_t)st->st_size, ret->etag);
	(void)snprintf(ret->etag, sizeof(ret->etag), "%llx-%llx-%llx.%lx", (unsigned long long)st->st_ino,
		       (unsigned long long)st->st_size, (unsigned long long)st->st_mtim.tv_sec,
		       (unsigned long)st->st_mtim.tv_nsec);
	return 0;
}

static int open_object(struct store *s, const char *what, const char *key, struct stat *ret_st)
{
	struct file_store *f = (struct file_store *)s;
	int err = check_hidden(what, key);
	int fd;

	if (err >= 0)
		err = check_cancelled(s, what, key);
	if (err < 0)
		return err;
	fd = openat(f->root, key, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
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

static int file_get(struct store *s, const char *key, uint64_t offset, uint64_t len, struct buf *out,
		    struct store_meta *ret_meta)
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

/* ---- writing ------------------------------------------------------------------------------------------ */

static int open_tmp_dir(struct file_store *f)
{
	int fd;

	pthread_mutex_lock(&f->setup);
	if (f->tmp < 0) {
		if (mkdirat(f->root, TMP_DIR, 0700) < 0 && errno != EEXIST)
			f->tmp = -1;
		else
			f->tmp = openat(f->root, TMP_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
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

static int make_parents(struct file_store *f, const char *key)
{
	char path[STORE_KEY_MAX + 1];

	(void)snprintf(path, sizeof(path), "%s", key);
	for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdirat(f->root, path, 0700) < 0 && errno != EEXIST)
			return -1;
		*slash = '/';
	}
	return 0;
}

static size_t dir_len(const char *key)
{
	const char *slash = strrchr(key, '/');

	return slash ? (size_t)(slash - key) : 0;
}

/* Whoever made a folder may not have synced its entry yet, so each handle does it once itself. */
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

static int sync_dir(struct file_store *f, const char *path)
{
	int fd CLEANUP(close_fd) = openat(f->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -1 : fsync(fd);
}

/* The folder that holds key, and all above it unless they are known to be on disk. */
static int sync_parents(struct file_store *f, const char *key)
{
	char path[STORE_KEY_MAX + 1];
	bool all = !is_synced(f, key, false);

	(void)snprintf(path, sizeof(path), "%s", key);
	for (char *slash = strrchr(path, '/'); slash; slash = strrchr(path, '/')) {
		*slash = '\0';
		if (sync_dir(f, path) < 0)
			return -1;
		if (!all)
			return 0;
	}
	if (fsync(f->root) < 0)
		return -1;
	(void)is_synced(f, key, true);
	return 0;
}

static int place(struct file_store *f, const char *tmp_name, const struct store_put *put)
{
	for (int tries = 0; tries < 2; tries++) {
		int r = put->cond == STORE_CREATE ? linkat(f->tmp, tmp_name, f->root, put->key, 0) :
						    renameat(f->tmp, tmp_name, f->root, put->key);

		if (r == 0)
			return sync_parents(f, put->key);
		if (errno != ENOENT || make_parents(f, put->key) < 0)
			return -1;
	}
	return -1;
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

/* All swaps of this folder, by whatever process, one after another. */
static int swap_locked(struct store *s, const char *tmp_name, const struct store_put *put)
{
	struct file_store *f = (struct file_store *)s;
	int lock CLEANUP(close_fd) = openat(f->root, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int err;

	if (lock < 0)
		return os_error("PUT", put->key);
	while (flock(lock, LOCK_EX) < 0)
		if (errno != EINTR)
			return os_error("PUT", put->key);
	err = check_match(s, put);
	if (err >= 0 && place(f, tmp_name, put) < 0)
		err = os_error("PUT", put->key);
	return err;
}

static int put_in_place(struct store *s, const char *tmp_name, const struct store_put *put)
{
	struct file_store *f = (struct file_store *)s;
	int err;

	if (put->cond == STORE_MATCH) {
		pthread_mutex_lock(&f->swap);
		err = swap_locked(s, tmp_name, put);
		pthread_mutex_unlock(&f->swap);
		return err;
	}
	if (place(f, tmp_name, put) == 0)
		return 0;
	if (errno == EEXIST && put->cond == STORE_CREATE)
		return err_note(-L3_PRECONDITION, "PUT %s: exists", put->key);
	return os_error("PUT", put->key);
}

static int file_put(struct store *s, const struct store_put *put, struct store_meta *ret_meta)
{
	struct file_store *f = (struct file_store *)s;
	uint64_t serial = __atomic_add_fetch(&f->serial, 1, __ATOMIC_RELAXED);
	char tmp_name[64];
	struct stat st;
	int fd CLEANUP(close_fd) = -1;
	int err = check_hidden("PUT", put->key);

	if (err >= 0)
		err = check_cancelled(s, "PUT", put->key);
	if (err < 0)
		return err;
	(void)snprintf(tmp_name, sizeof(tmp_name), "%d-%llx", (int)getpid(), (unsigned long long)serial);
	if (open_tmp_dir(f) < 0)
		return os_error("PUT", put->key);
	fd = openat(f->tmp, tmp_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return os_error("PUT", put->key);
	if (write_iov(fd, put) < 0 || fsync(fd) < 0 || fstat(fd, &st) < 0)
		err = os_error("PUT", put->key);
	else
		err = put_in_place(s, tmp_name, put);
	/* Renamed away after success, except that link() leaves it. */
	if (err < 0 || put->cond == STORE_CREATE)
		(void)unlinkat(f->tmp, tmp_name, 0);
	if (err >= 0 && ret_meta)
		err = read_meta(fd, &st, ret_meta);
	return err < 0 ? err : 0;
}

static int file_copy(struct store *s, const char *from, const char *to)
{
	struct buf data CLEANUP(buf_release) = BUF_INIT;
	int err = file_get(s, from, 0, STORE_TO_END, &data, NULL);
	struct iovec v = { .iov_base = data.data, .iov_len = data.len };

	if (err < 0)
		return err;
	return file_put(s, &(struct store_put){ .key = to, .iov = &v, .iovcnt = 1 }, NULL);
}

static int remove_one(struct store *s, const char *key)
{
	struct file_store *f = (struct file_store *)s;
	int err = check_hidden("DELETE", key);

	if (err >= 0)
		err = check_cancelled(s, "DELETE", key);
	if (err < 0)
		return err;
	if (unlinkat(f->root, key, 0) < 0 && errno != ENOENT && errno != ENOTDIR && errno != EISDIR)
		return os_error("DELETE", key);
	return 0;
}

static int file_remove(struct store *s, const char *key)
{
	int err = remove_one(s, key);

	if (err >= 0 && sync_parents((struct file_store *)s, key) < 0 && errno != ENOENT)
		err = os_error("DELETE", key);
	return err;
}

/* Neighbours in one folder share its fsync. */
static int file_remove_many(struct store *s, const char *const *keys, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t n = dir_len(keys[i]);
		bool last_of_folder = i + 1 == count || dir_len(keys[i + 1]) != n ||
				      memcmp(keys[i], keys[i + 1], n) != 0;
		int err = last_of_folder ? file_remove(s, keys[i]) : remove_one(s, keys[i]);

		if (err < 0)
			return err;
	}
	return 0;
}

/* ---- listing ------------------------------------------------------------------------------------------ */

struct walk {
	struct store_list *out;
	const char *prefix, *start_after;
	unsigned max;
	char path[STORE_KEY_MAX + NAME_MAX + 2];
};

/*
 * Byte order over whole keys is the order of names within a folder if each subfolder's name is taken
 * with a '/' behind it: "a-b" < "a/b" < "a0".
 */
static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void free_names(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

static bool entry_is_dir(int dir, const struct dirent *e)
{
	struct stat st;

	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_DIR;
	return fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int add_name(char ***names, size_t *count, size_t *cap, const char *name, bool is_dir)
{
	char *copy;

	if (*count == *cap) {
		size_t bigger = *cap ? *cap * 2 : 64;
		char **p = realloc(*names, bigger * sizeof(*p));

		if (!p)
			return -ENOMEM;
		*names = p;
		*cap = bigger;
	}
	if (asprintf(&copy, "%s%s", name, is_dir ? "/" : "") < 0)
		return -ENOMEM;
	(*names)[(*count)++] = copy;
	return 0;
}

/* Takes fd. */
static int read_names(int fd, bool top, char ***ret, size_t *ret_count)
{
	DIR *dir = fdopendir(fd);
	struct dirent *e;
	char **names = NULL;
	size_t count = 0, cap = 0;
	int err = 0;

	if (!dir) {
		(void)close(fd);
		return -errno;
	}
	while (err >= 0 && (errno = 0, e = readdir(dir))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    (top && e->d_name[0] == '.'))
			continue;
		err = add_name(&names, &count, &cap, e->d_name, entry_is_dir(fd, e));
	}
	if (err >= 0 && errno)
		err = -errno;
	(void)closedir(dir);
	if (err < 0) {
		free_names(names, count);
		return err;
	}
	if (count > 0)
		qsort(names, count, sizeof(*names), by_name);
	*ret = names;
	*ret_count = count;
	return 0;
}

static bool prefixes_agree(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);

	return strncmp(a, b, la < lb ? la : lb) == 0;
}

/* Could a key below this folder (its path with '/') be wanted? */
static bool folder_matters(const struct walk *w)
{
	return prefixes_agree(w->path, w->prefix) &&
	       (strcmp(w->path, w->start_after) >= 0 ||
		strncmp(w->path, w->start_after, strlen(w->path)) == 0);
}

static int walk_file(struct file_store *f, struct walk *w)
{
	struct stat st;

	if (strncmp(w->path, w->prefix, strlen(w->prefix)) != 0 || strcmp(w->path, w->start_after) <= 0)
		return 0;
	if (w->out->count >= w->max) {
		w->out->more = true;
		return 1;
	}
	if (fstatat(f->root, w->path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0; /* deleted meanwhile, or not ours */
	return store_list_add(w->out, w->path, (uint64_t)st.st_size, st.st_mtim.tv_sec);
}

/* w->path is the folder's, "" or with '/' at its end. Returns 1 when enough was found. */
static int walk_folder(struct file_store *f, struct walk *w)
{
	size_t len = strlen(w->path), count = 0;
	char **names = NULL;
	int fd = openat(f->root, len ? w->path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int err;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	err = read_names(fd, len == 0, &names, &count);
	for (size_t i = 0; i < count && err == 0; i++) {
		size_t n = strlen(names[i]);

		if (len + n >= STORE_KEY_MAX)
			continue; /* no key of ours */
		memcpy(w->path + len, names[i], n + 1);
		if (names[i][n - 1] != '/')
			err = walk_file(f, w);
		else if (folder_matters(w))
			err = walk_folder(f, w);
	}
	w->path[len] = '\0';
	free_names(names, count);
	return err;
}

static int file_list(struct store *s, const char *prefix, const char *start_after, unsigned max,
		     struct store_list *out)
{
	struct walk w = { .out = out, .prefix = prefix, .start_after = start_after };
	int err = check_cancelled(s, "LIST", prefix);

	if (err < 0)
		return err;
	w.max = (unsigned)out->count + (max && max < LIST_PAGE ? max : LIST_PAGE);
	err = walk_folder((struct file_store *)s, &w);
	if (err < 0) {
		errno = -err;
		return os_error("LIST", prefix);
	}
	return 0;
}

/* ---- life -------------------------------------------------------------------------------------------- */

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
	pthread_mutex_destroy(&f->swap);
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

/* What processes left that died while writing. Young ones may belong to another host (NFS). */
static void clean_tmp(struct file_store *f)
{
	int fd = openat(f->root, TMP_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int64_t now = clock_system.real_ns(&clock_system) / 1000000000;
	struct dirent *e;
	DIR *dir;

	if (fd < 0 || !(dir = fdopendir(fd))) {
		close_fd(&fd);
		return;
	}
	while ((e = readdir(dir))) {
		struct stat st;

		if (e->d_name[0] != '.' && fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_mtim.tv_sec + STALE_TMP_S < now)
			(void)unlinkat(fd, e->d_name, 0);
	}
	(void)closedir(dir);
}

static int make_folder(const char *path)
{
	char parent[PATH_MAX];
	char *slash;
	int fd CLEANUP(close_fd) = -1;

	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	(void)snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	slash[slash == parent] = '\0';
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int open_root(const char *path, bool create, int *ret_fd)
{
	int err = create ? make_folder(path) : 0;
	int fd = err < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (err >= 0 && fd < 0)
		err = -errno;
	*ret_fd = fd;
	switch (-err) {
	case 0:
		return 0;
	case ENOENT:
		return err_note(-L3_NO_BUCKET, create ? "%s: its parent folder does not exist" :
							"%s: no such folder; levels3fs mkfs (or -o create) makes it",
				path);
	case ENOTDIR:
		return err_note(-L3_BAD_OPTION, "%s: is not a folder", path);
	default:
		return err_note(err == -EACCES || err == -EPERM || err == -EROFS ? -L3_DENIED : err, "%s: %s",
				path, strerrordesc_np(-err));
	}
}

static int parse_url(const char *url, char path[PATH_MAX])
{
	const char *p = url + strlen("file://");
	size_t len;

	if (*p != '/')
		return err_note(-L3_BAD_OPTION, "%s: needs an absolute path after file://, as in file:///srv/files",
				url);
	len = strlen(p);
	while (len > 1 && p[len - 1] == '/')
		len--;
	if (len >= PATH_MAX)
		return err_note(-L3_BAD_OPTION, "%s: the path is too long", url);
	if (len == 1)
		return err_note(-L3_BAD_OPTION, "%s: name a folder below the root of the disk", url);
	memcpy(path, p, len);
	path[len] = '\0';
	return 0;
}

int store_file_open(const char *url, const struct store_config *config, struct store **ret)
{
	char path[PATH_MAX];
	struct file_store *f;
	int root, err = parse_url(url, path);

	if (err >= 0)
		err = open_root(path, config->create, &root);
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
	pthread_mutex_init(&f->swap, NULL);
	clean_tmp(f);
	*ret = &f->store;
	return 0;
}
