/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Histories: what each mount did and was promised, and whether a tree that is found fits.
 *
 * A tree fits a reign if it is the state after some number of its operations, not fewer than were
 * acknowledged and not more than had begun: names, links and modes exactly; each file as it was
 * after one of its own writes, not before the last one that an fsync, or a later change of the
 * file's metadata, has made sure of.
 */
#include "sim.h"

#include <fcntl.h>
#include <xxhash.h>

unsigned sim_appetite;

/* ---- what a write does ---- */

static uint64_t length_of(uint64_t chance)
{
	uint64_t most = 3000;

	if (sim_appetite >= 1 && chance % 8 == 0)
		most = 200000;
	if (sim_appetite >= 2 && chance % 16 == 0)
		most = 2000000;
	if (sim_appetite >= 3 && chance % 32 == 0)
		most = FS_WRITE_WHOLE; /* a longer one is several writes */
	return 1 + (chance >> 8) % most;
}

struct shape shape_of(uint64_t value)
{
	static const uint8_t kinds[] = { SHAPE_WRITE,  SHAPE_WRITE,    SHAPE_WRITE,
					 SHAPE_WRITE,  SHAPE_WRITE,    SHAPE_WRITE,
					 SHAPE_WRITE,  SHAPE_APPEND,   SHAPE_APPEND,
					 SHAPE_APPEND, SHAPE_TRUNCATE, SHAPE_TRUNCATE,
					 SHAPE_PUNCH,  SHAPE_ALLOCATE };
	uint64_t chance = sim_hash(value, 17);
	struct shape s = { .kind = (enum shape_kind)kinds[chance % ARRAY_LEN(kinds)] };

	s.len = length_of(sim_hash(value, 18));
	if (sim_hash(value, 19) % 3 == 0 || s.kind == SHAPE_PUNCH)
		s.offset = sim_hash(value, 20) % (2 * s.len);
	return s;
}

/* Bytes that tell which write they are of. */
static void fill(uint8_t *to, uint64_t len, uint64_t value)
{
	for (uint64_t n = 0; n < len; n += 8) {
		uint8_t word[8];

		put_u64(word, (n / 512 % 2 ? 0 : n * 0x9e3779b97f4a7c15u) + value);
		memcpy(to + n, word, min_u64(8, len - n));
	}
}

static void resize(struct buf *content, uint64_t size)
{
	if (size > content->len) {
		if (buf_reserve(content, size - content->len) < 0)
			abort();
		memset(content->data + content->len, 0, size - content->len);
	}
	content->len = size;
}

static void shape_apply(struct buf *content, uint64_t value)
{
	struct shape s = shape_of(value);
	uint64_t offset = s.kind == SHAPE_APPEND ? content->len : s.offset;

	switch (s.kind) {
	case SHAPE_WRITE:
	case SHAPE_APPEND:
		resize(content, max_u64(content->len, offset + s.len));
		fill(content->data + offset, s.len, value);
		break;
	case SHAPE_TRUNCATE:
		resize(content, s.len);
		break;
	case SHAPE_PUNCH:
		if (offset < content->len)
			memset(content->data + offset, 0, min_u64(s.len, content->len - offset));
		break;
	case SHAPE_ALLOCATE:
		resize(content, max_u64(content->len, offset + s.len));
		break;
	}
}

/* Such a change is in the file's map at once, and so is all that was written before it. */
static bool is_direct(uint64_t value)
{
	return shape_of(value).kind >= SHAPE_TRUNCATE;
}

static int do_write(struct fs_file *f, const struct shape *s, uint64_t value)
{
	uint8_t *bytes = malloc(s->len);
	ssize_t n;

	if (!bytes)
		abort();
	fill(bytes, s->len, value);
	n = fs_write(f, bytes, s->len, s->offset, s->kind == SHAPE_APPEND, false);
	free(bytes);
	if (n >= 0 && (uint64_t)n != s->len)
		sim_violation("a write of %llu bytes wrote %zd", (unsigned long long)s->len, n);
	return n < 0 ? (int)n : 0;
}

int shape_do(struct fs *fs, uint64_t ino, uint64_t value)
{
	struct shape s = shape_of(value);
	struct fs_attr attr = { .size = s.len };
	struct fs_file *f;
	int err;

	if (s.kind == SHAPE_TRUNCATE)
		return fs_setattr(fs, ino, &attr, FS_SET_SIZE, &attr);
	err = fs_file_open(fs, ino, true, false, &f);
	if (err < 0)
		return err;
	if (s.kind == SHAPE_PUNCH)
		err = fs_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, s.offset, s.len);
	else if (s.kind == SHAPE_ALLOCATE)
		err = fs_fallocate(f, 0, s.offset, s.len);
	else
		err = do_write(f, &s, value);
	fs_file_close(f);
	return err;
}

/* ---- reading a tree ---- */

static int read_file(struct fs *fs, uint64_t ino, uint64_t size, struct found_file *ret)
{
	uint8_t *bytes = malloc(size + 1);
	struct fs_file *f;
	ssize_t n;
	int err;

	if (!bytes)
		abort();
	err = fs_file_open(fs, ino, false, false, &f);
	if (err < 0) {
		free(bytes);
		return err;
	}
	n = fs_read(f, bytes, size + 1, 0);
	fs_file_close(f);
	if (n >= 0)
		*ret = (struct found_file){ (uint64_t)n, XXH3_64bits(bytes, (size_t)n) };
	free(bytes);
	if (n >= 0 && (uint64_t)n != size)
		sim_violation("inode %llu has %llu bytes by its attributes, and %zd to read",
			      (unsigned long long)ino, (unsigned long long)size, n);
	return n < 0 ? (int)n : 0;
}

static struct found_name *add_name(struct found *f)
{
	if (f->count == f->cap) {
		f->cap = f->cap ? 2 * f->cap : 64;
		f->at = realloc(f->at, f->cap * sizeof(*f->at));
		if (!f->at)
			abort();
	}
	f->at[f->count] = (struct found_name){ .name = FOUND_END };
	return &f->at[f->count++];
}

static int read_folder(struct fs *fs, uint64_t dir, struct found *ret);

static int read_name(struct fs *fs, unsigned name, const struct fs_attr *attr, struct found *ret)
{
	struct found_name *n = add_name(ret);

	*n = (struct found_name){ .name = name,
				  .dir = S_ISDIR(attr->mode),
				  .nlink = attr->nlink,
				  .mode = attr->mode & 07777,
				  .ino = attr->ino };
	return n->dir ? read_folder(fs, attr->ino, ret)
		      : read_file(fs, attr->ino, attr->size, &n->file);
}

static int read_folder(struct fs *fs, uint64_t dir, struct found *ret)
{
	struct fs_attr attr;
	char name[16];

	for (unsigned n = 0; n < MODEL_NAMES; n++) {
		int err = fs_lookup(fs, dir, model_name(n, name), &attr);

		if (err == -ENOENT)
			continue;
		if (err >= 0)
			err = read_name(fs, n, &attr, ret);
		if (err < 0)
			return err;
	}
	(void)add_name(ret);
	return 0;
}

int found_read(struct fs *fs, struct found *ret)
{
	int err = read_folder(fs, FS_ROOT_INO, ret);

	if (err < 0)
		found_release(ret);
	return err;
}

void found_release(struct found *f)
{
	free(f->at);
	*f = (struct found){ 0 };
}

static void found_print(const struct found *f, FILE *to)
{
	for (size_t n = 0; n < f->count; n++) {
		const struct found_name *e = &f->at[n];

		if (e->name == FOUND_END)
			(void)fprintf(to, ") ");
		else
			(void)fprintf(to, "%u=%llu:%u:%o%s", e->name, (unsigned long long)e->ino,
				      e->nlink, e->mode, e->dir ? "( " : " ");
	}
	(void)fprintf(to, "\n");
}

/* ---- does it fit? ---- */

struct replay {
	const struct reign *r;
	const struct found *found;
	struct model m;
	unsigned count; /* facts so far */
	uint64_t *values;
	struct buf *why;
};

static bool same_file(const struct found_file *a, const struct found_file *b)
{
	return a->size == b->size && a->sum == b->sum;
}

/* The last write after which the file was like that, and which is not too early. */
static bool find_write(struct replay *p, unsigned node, const struct found_file *file)
{
	uint64_t floor = p->m.nodes[node].floor;

	for (unsigned n = p->count; n-- > 0;) {
		const struct fact *f = &p->r->facts[n];

		if (f->op.kind != WRITE || f->node != node || f->op.value < floor)
			continue;
		if (!same_file(&f->after, file))
			continue;
		p->values[node] = f->op.value;
		return true;
	}
	p->values[node] = 0;
	if (floor == 0 && file->size == 0)
		return true;
	if (p->why)
		buf_printf(p->why,
			   "after %u operations all names are right, but node %u (%llu bytes) is "
			   "in no "
			   "state since its write %llu; ",
			   p->count, node, (unsigned long long)file->size,
			   (unsigned long long)floor);
	return false;
}

/* But for the bytes. */
static bool same_name(const struct replay *p, const struct found_name *f, unsigned name,
		      unsigned node)
{
	const struct model_node *n = &p->m.nodes[node];

	return f->name == name && f->dir == n->dir && f->nlink == n->nlink && f->mode == n->mode &&
	       (p->r->inos[node] == 0 || f->ino == p->r->inos[node]);
}

/* Names first, then, in a second walk, bytes. */
static bool folder_fits(struct replay *p, unsigned dir, size_t *at, bool bytes)
{
	for (unsigned name = 0; name < MODEL_NAMES; name++) {
		struct model_entry *e = model_find(&p->m, dir, name);
		const struct found_name *f;

		if (!e)
			continue;
		f = &p->found->at[(*at)++];
		if (!same_name(p, f, name, e->node))
			return false;
		if (f->dir ? !folder_fits(p, e->node, at, bytes)
			   : bytes && !find_write(p, e->node, &f->file))
			return false;
	}
	return p->found->at[(*at)++].name == FOUND_END;
}

static bool state_fits(struct replay *p)
{
	size_t at = 0;

	if (!folder_fits(p, MODEL_ROOT, &at, false))
		return false;
	for (unsigned n = 0; n < MODEL_NODES; n++)
		p->values[n] = UINT64_MAX; /* without a name: whatever it is */
	at = 0;
	return folder_fits(p, MODEL_ROOT, &at, true);
}

static void replay_acks(struct replay *p, size_t acks)
{
	for (unsigned n = 0; n < p->r->ack_count; n++) {
		const struct ack *a = &p->r->acks[n];

		if (a->count != p->count || a->given > acks)
			continue;
		if (a->all)
			model_sync(&p->m);
		else
			model_touch(&p->m, a->node);
	}
}

static void replay_fact(struct model *m, const struct fact *f)
{
	(void)model_do(m, &f->op);
	if (f->op.kind == WRITE && f->effective && is_direct(f->op.value))
		model_touch(m, f->node);
}

unsigned reign_acked(const struct reign *r, size_t acks)
{
	unsigned most = 0;

	for (unsigned n = 0; n < r->ack_count; n++)
		if (r->acks[n].given <= acks && r->acks[n].count > most)
			most = r->acks[n].count;
	return most;
}

unsigned reign_begun(const struct reign *r, size_t begun)
{
	unsigned n = r->count;

	while (n > r->inherited && r->facts[n - 1].begun > begun)
		n--;
	return n;
}

/* why, if given, gets what nearly fits. */
static int fit(const struct reign *r, struct span span, const struct found *f,
	       uint64_t **ret_values, struct buf *why)
{
	unsigned low = reign_acked(r, span.acks), high = reign_begun(r, span.begun);
	struct replay *p = calloc(1, sizeof(*p));
	uint64_t *best = NULL;
	int fits = -1;

	if (!p)
		abort();
	p->r = r;
	p->found = f;
	p->why = why;
	model_init(&p->m, 0);
	for (;; p->count++) {
		replay_acks(p, span.acks);
		p->values = p->values ? p->values : calloc(MODEL_NODES, sizeof(*p->values));
		if (!p->values)
			abort();
		if (p->count >= low && state_fits(p)) {
			fits = (int)p->count;
			free(best);
			best = p->values;
			p->values = NULL;
		}
		if (p->count >= high)
			break;
		replay_fact(&p->m, &r->facts[p->count]);
	}
	free(p->values);
	free(p);
	if (ret_values)
		*ret_values = best;
	else
		free(best);
	return fits;
}

int reign_fits(const struct reign *r, struct span span, const struct found *f,
	       uint64_t **ret_values)
{
	return fit(r, span, f, ret_values, NULL);
}

void reign_explain(const struct reign *r, struct span span, const struct found *f)
{
	struct buf why CLEANUP(buf_release) = BUF_INIT;

	reign_print(r, stderr);
	(void)fit(r, span, f, NULL, &why);
	(void)fprintf(stderr, "found: ");
	found_print(f, stderr);
	(void)fprintf(stderr, "after %u to %u operations: %s\n", reign_acked(r, span.acks),
		      reign_begun(r, span.begun), why.len > 0 ? buf_cstr(&why) : "other names");
}

/* ---- reigns ---- */

static struct fact *add_fact(struct reign *r)
{
	if (r->count == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 64;
		r->facts = realloc(r->facts, r->cap * sizeof(*r->facts));
		if (!r->facts)
			abort();
	}
	return &r->facts[r->count++];
}

void reign_ack(struct reign *r, bool all, unsigned node, unsigned count, size_t given)
{
	if (r->ack_count == r->ack_cap) {
		r->ack_cap = r->ack_cap ? 2 * r->ack_cap : 16;
		r->acks = realloc(r->acks, r->ack_cap * sizeof(*r->acks));
		if (!r->acks)
			abort();
	}
	r->acks[r->ack_count++] = (struct ack){ count, all, node, given };
}

static void inherit(struct reign *r, const struct fact *f)
{
	replay_fact(&r->model, f);
	if (f->op.kind == WRITE && f->effective)
		shape_apply(&r->contents[f->node], f->op.value);
	*add_fact(r) = *f;
}

struct reign *reign_new(struct reign *parent, struct found *f, unsigned count,
			const uint64_t *values, uint64_t model_seed)
{
	struct reign *r = calloc(1, sizeof(*r));

	if (!r)
		abort();
	r->parent = parent;
	r->found = *f;
	*f = (struct found){ 0 };
	model_init(&r->model, model_seed);
	r->inos[MODEL_ROOT] = FS_ROOT_INO;
	for (unsigned n = 0; parent && n < count; n++) {
		const struct fact *fact = &parent->facts[n];

		if (fact->node == MODEL_NODES || fact->op.value <= values[fact->node])
			inherit(r, fact);
	}
	if (parent)
		memcpy(r->inos, parent->inos, r->model.node_count * sizeof(r->inos[0]));
	r->inherited = r->count;
	return r;
}

void reign_free(struct reign *r)
{
	if (!r)
		return;
	for (unsigned n = 0; n < MODEL_NODES; n++)
		buf_release(&r->contents[n]);
	found_release(&r->found);
	free(r->facts);
	free(r->acks);
	free(r);
}

bool reign_descends(const struct reign *r, const struct reign *ancestor)
{
	while (r && r != ancestor)
		r = r->parent;
	return r;
}

/* ---- doing ---- */

/* The model has done it already, and names are as they were. */
static void enter_write(struct reign *r, struct fact *f, struct undo *undo)
{
	struct model_entry *e = model_find(&r->model, f->op.dir, f->op.name);
	struct buf *content;
	uint64_t sum;

	if (!e || r->model.nodes[e->node].dir)
		return;
	f->node = undo->node = e->node;
	undo->written = true;
	content = &r->contents[e->node];
	buf_add(&undo->content, content->data, content->len);
	sum = XXH3_64bits(content->data, content->len);
	shape_apply(content, f->op.value);
	f->after = (struct found_file){ content->len, XXH3_64bits(content->data, content->len) };
	f->effective = f->after.size != undo->content.len || f->after.sum != sum;
	if (f->effective && is_direct(f->op.value))
		model_touch(&r->model, f->node);
}

/* One that changes something, for the most part. The model is left as after it; the state before is
 * in undo. */
static struct model_op draw_op(struct reign *r, uint64_t value, struct undo *undo, int *want)
{
	struct model_op op;
	uint64_t random;

	*undo = (struct undo){ .model = r->model };
	for (unsigned tries = 0;; tries++) {
		op = model_draw_op(&r->model, value);
		*want = model_do(&r->model, &op);
		if (*want == 0 || tries == 3)
			return op;
		random = r->model.random;
		r->model = undo->model;
		r->model.random = random;
	}
}

int reign_draw(struct reign *r, uint64_t value, size_t begun, struct undo *undo)
{
	int want;
	struct model_op op = draw_op(r, value, undo, &want);
	struct fact *f = add_fact(r);

	*f = (struct fact){ .op = op, .begun = begun, .node = MODEL_NODES };
	if (op.kind == WRITE)
		enter_write(r, f, undo);
	else
		f->effective = want == 0;
	return want;
}

void reign_undo(struct reign *r, struct undo *undo)
{
	uint64_t random = r->model.random;

	r->model = undo->model;
	r->model.random = random;
	r->count--;
	if (undo->written) {
		buf_release(&r->contents[undo->node]);
		r->contents[undo->node] = undo->content;
		undo->content = (struct buf)BUF_INIT;
	}
}

void undo_release(struct undo *undo)
{
	buf_release(&undo->content);
}

/* ---- for people ---- */

static void print_fact(const struct fact *f, FILE *to)
{
	static const char *const kinds[KINDS] = { "make",  "mkdir",  "link",	  "unlink",
						  "rmdir", "rename", "noreplace", "exchange",
						  "write", "chmod" };
	static const char *const shapes[] = { "write", "append", "truncate", "punch", "allocate" };
	struct shape s = shape_of(f->op.value);
	const char *what = f->op.kind == WRITE ? shapes[s.kind] : kinds[f->op.kind];

	(void)fprintf(to, "%s %u/%u", what, f->op.dir, f->op.name);
	if (f->op.kind == WRITE)
		(void)fprintf(to, " node %u value %llu at %llu, %llu bytes", f->node,
			      (unsigned long long)f->op.value, (unsigned long long)s.offset,
			      (unsigned long long)s.len);
	else if (f->op.kind == LINK || f->op.kind == RENAME || f->op.kind == NOREPLACE ||
		 f->op.kind == EXCHANGE)
		(void)fprintf(to, " to %u/%u", f->op.to_dir, f->op.to_name);
	(void)fprintf(to, "%s (begun at effect %zu)\n", f->effective ? "" : ", without effect",
		      f->begun);
}

void reign_print(const struct reign *r, FILE *to)
{
	(void)fprintf(to,
		      "machine %u, epoch %llu, open since effect %zu, %u operations taken over\n",
		      r->machine, (unsigned long long)r->epoch, r->opened, r->inherited);
	for (unsigned n = r->parent ? r->inherited : 0; n <= r->count; n++) {
		for (unsigned a = 0; a < r->ack_count; a++)
			if (r->acks[a].count == n && r->acks[a].all)
				(void)fprintf(to, "   -- all of it stored, at effect %zu\n",
					      r->acks[a].given);
			else if (r->acks[a].count == n)
				(void)fprintf(to, "   -- node %u fsynced, at effect %zu\n",
					      r->acks[a].node, r->acks[a].given);
		if (n == r->count)
			break;
		(void)fprintf(to, "%4u ", n);
		print_fact(&r->facts[n], to);
	}
}
