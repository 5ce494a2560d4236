/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which process we are, and whether the one in a lease object is gone. A pid means something only
 * within one boot and one pid namespace, and only together with its start time, as pids are used
 * again. Where the kernel gives no certain answer, the process counts as alive.
 */
#include "lease/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROC_FILE_MAX 8192

struct process {
	char state;
	uint64_t threads;
	uint64_t start;
};

/* proc_pid_stat(5): "pid (name) state ..."; the name may hold spaces and parentheses. */
static bool process_look(uint64_t pid, struct process *ret)
{
	struct buf text CLEANUP(buf_release) = BUF_INIT;
	char path[64], *p, *save = NULL;
	struct process found = { 0 };
	int field = 3;

	(void)snprintf(path, sizeof(path), "/proc/%llu/stat", (unsigned long long)pid);
	if (file_read_all(path, PROC_FILE_MAX, &text) < 0)
		return false;
	p = strrchr((char *)buf_cstr(&text), ')');
	if (!p)
		return false;
	for (p = strtok_r(p + 1, " ", &save); p; p = strtok_r(NULL, " ", &save), field++) {
		if (field == 3)
			found.state = *p;
		else if (field == 20)
			found.threads = strtoull(p, NULL, 10);
		else if (field == 22) {
			found.start = strtoull(p, NULL, 10);
			*ret = found;
			return true;
		}
	}
	return false;
}

static void read_boot_id(char out[40])
{
	struct buf text CLEANUP(buf_release) = BUF_INIT;

	out[0] = '\0';
	if (file_read_all("/proc/sys/kernel/random/boot_id", PROC_FILE_MAX, &text) < 0)
		return;
	(void)snprintf(out, 40, "%s", buf_cstr(&text));
	out[strcspn(out, "\n")] = '\0';
}

static uint64_t read_pid_ns(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

void lease_identify(struct lease_holder *h)
{
	struct process self;

	h->pid = (uint64_t)getpid();
	h->pid_start = process_look(h->pid, &self) ? self.start : 0;
	h->pid_ns = read_pid_ns();
	read_boot_id(h->boot_id);
	if (gethostname(h->host, sizeof(h->host)) < 0)
		h->host[0] = '\0';
	h->host[sizeof(h->host) - 1] = '\0';
}

static bool is_local(const struct lease_holder *h)
{
	char boot_id[40];
	uint64_t ns = read_pid_ns();

	read_boot_id(boot_id);
	return boot_id[0] && strcmp(boot_id, h->boot_id) == 0 && ns != 0 && ns == h->pid_ns;
}

bool lease_holder_is_dead(const struct lease_holder *h)
{
	struct process p;

	if (h->pid == 0 || h->pid > INT32_MAX || !is_local(h))
		return false;
	/* Not by a look into /proc: it may hide other people's processes. */
	if (kill((pid_t)h->pid, 0) < 0)
		return errno == ESRCH;
	if (!process_look(h->pid, &p))
		return false;
	if (h->pid_start != 0 && p.start != h->pid_start)
		return true; /* the pid is somebody else's now */
	/* Ended, but its parent has not looked; other threads may outlive the first one. */
	return (p.state == 'Z' && p.threads <= 1) || p.state == 'X';
}
