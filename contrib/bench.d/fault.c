/* SPDX-License-Identifier: BSD-3-Clause */
/* Which requests meet which fault, and what that does to the answer's bytes. */
#include "fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULES_MAX 16
#define NS_PER_MS 1000000ull

struct rule {
	enum fault fault;
	unsigned percent;
	unsigned kinds; /* bits */
	uint64_t delay_ns;
};

static const char *const names[FAULTS] = {
	[FAULT_NONE] = "none",	       [FAULT_DROP] = "drop",	    [FAULT_RESET] = "reset",
	[FAULT_STALL] = "stall",       [FAULT_LOSE] = "lose",	    [FAULT_MUTE] = "mute",
	[FAULT_TRUNCATE] = "truncate", [FAULT_CORRUPT] = "corrupt", [FAULT_DELAY] = "delay",
};

static struct rule rules[RULES_MAX];
static size_t rule_count;
static uint64_t hits[FAULTS];

/* ---- drawing ---- */

void fault_draw(enum http_kind kind, struct fault_fate *ret)
{
	ret->fault = FAULT_NONE;
	ret->delay_ns = 0;
	ret->placed = false;
	ret->body_passed = 0;
	http_answer_begin(&ret->answer);
	for (size_t i = 0; i < rule_count && ret->fault == FAULT_NONE; i++) {
		const struct rule *r = &rules[i];

		if (!(r->kinds & 1u << kind) || (unsigned)(random() % 100) >= r->percent)
			continue;
		ret->fault = r->fault;
		ret->delay_ns = r->delay_ns;
	}
	/* Whether these get to do anything depends on the answer. */
	if (ret->fault != FAULT_TRUNCATE && ret->fault != FAULT_CORRUPT)
		hits[ret->fault]++;
}

/* ---- the answer ---- */

/* Known once the head is: somewhere in the body. False if there is none. */
static bool has_place(struct fault_fate *f)
{
	if (!f->placed && f->answer.body_bytes > 0) {
		f->placed = true;
		f->place = (uint64_t)random() % f->answer.body_bytes;
		hits[f->fault]++;
	}
	return f->placed;
}

static enum fault_verdict truncate_answer(struct fault_fate *f, size_t head, size_t *len)
{
	uint64_t before = f->body_passed;
	size_t body = *len - head;

	f->body_passed += body;
	if (!has_place(f) || f->place >= f->body_passed)
		return FAULT_PASS;
	*len = head + (size_t)(f->place - before);
	return FAULT_CLOSE;
}

static enum fault_verdict corrupt_answer(struct fault_fate *f, uint8_t *bytes, size_t head,
					 size_t len)
{
	uint64_t before = f->body_passed;
	size_t body = len - head;

	f->body_passed += body;
	if (has_place(f) && f->place >= before && f->place < f->body_passed)
		bytes[head + (size_t)(f->place - before)] ^= (uint8_t)(1u << random() % 8);
	return FAULT_PASS;
}

enum fault_verdict fault_answer(struct fault_fate *f, uint8_t *bytes, size_t *len)
{
	size_t head = http_answer_feed(&f->answer, bytes, *len);
	bool begun = f->answer.state == ANSWER_IN_BODY;

	switch (f->fault) {
	case FAULT_LOSE:
		*len = 0;
		return begun ? FAULT_CLOSE : FAULT_PASS;
	case FAULT_MUTE:
		return FAULT_SWALLOW;
	case FAULT_TRUNCATE:
		return begun ? truncate_answer(f, head, len) : FAULT_PASS;
	case FAULT_CORRUPT:
		return begun ? corrupt_answer(f, bytes, head, *len) : FAULT_PASS;
	default:
		return FAULT_PASS;
	}
}

/* ---- commands ---- */

static bool parse_kinds(char *list, unsigned *ret)
{
	char *rest, *name = strtok_r(list, ",", &rest);

	*ret = 0;
	for (; name; name = strtok_r(NULL, ",", &rest)) {
		enum http_kind kind = http_kind_of_name(name);

		if (strcmp(name, "any") == 0)
			*ret = ~0u;
		else if (kind == HTTP_KINDS)
			return false;
		else
			*ret |= 1u << kind;
	}
	return *ret != 0;
}

static bool add_rule(const char *line)
{
	char name[16], kinds[128];
	unsigned long ms = 0;
	struct rule r = { .fault = FAULT_DROP };

	if (sscanf(line, "%15s %u %127s %lu", name, &r.percent, kinds, &ms) < 3)
		return false;
	while (r.fault < FAULTS && strcmp(names[r.fault], name) != 0)
		r.fault++;
	if (r.fault == FAULTS || r.percent > 100 || !parse_kinds(kinds, &r.kinds))
		return false;
	if ((r.fault == FAULT_DELAY) != (ms > 0) || rule_count == RULES_MAX)
		return false;
	r.delay_ns = ms * NS_PER_MS;
	rules[rule_count++] = r;
	return true;
}

static void print_hits(char *reply, size_t size)
{
	size_t len = 0;

	for (enum fault f = FAULT_DROP; f < FAULTS; f++) {
		int n = snprintf(reply + len, size - len, "%s\"%s\": %llu",
				 f == FAULT_DROP ? "{" : ", ", names[f],
				 (unsigned long long)hits[f]);

		if (n < 0 || (size_t)n >= size - len)
			return;
		len += (size_t)n;
	}
	(void)snprintf(reply + len, size - len, "}");
}

enum fault_order fault_command(const char *line, char *reply, size_t size)
{
	bool cut = strcmp(line, "cut") == 0, heal = strcmp(line, "heal") == 0;

	(void)snprintf(reply, size, "ok");
	if (heal)
		rule_count = 0;
	else if (strcmp(line, "hits") == 0)
		print_hits(reply, size);
	else if (!cut && !add_rule(line))
		(void)snprintf(reply, size, "what does \"%.100s\" mean?", line);
	return cut ? FAULT_ORDER_CUT : heal ? FAULT_ORDER_HEAL : FAULT_ORDER_NONE;
}
