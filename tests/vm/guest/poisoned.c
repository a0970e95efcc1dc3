// SPDX-License-Identifier: GPL-2.0
/* poisoned: memory of slabs, and other memory of a process that has some, fails in hardware, as the kernel can pretend (MADV_HWPOISON). */
#include <err.h>
#include <errno.h>
#include <infiniband/verbs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "poison.h"
#include "slab.h"

#define BYTES	(4ul << 20)
#define PAGE	4096
#define AT	(5 * PAGE)
#define BEFORE	0xa5

#define check(what)	do { if (!(what)) errx(1, "line %d: not so: %s", __LINE__, #what); } while (0)

static sd_event *loop;

void farswap_log(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

static struct ibv_pd *open_adapter(void)
{
	struct ibv_device **all = ibv_get_device_list(NULL);
	struct ibv_context *context = all && all[0] ? ibv_open_device(all[0]) : NULL;
	struct ibv_pd *pd = context ? ibv_alloc_pd(context) : NULL;

	if (!pd)
		errx(1, "no RDMA device");
	return pd;
}

static void fail(uint8_t *page, int told)
{
	if (prctl(PR_MCE_KILL, PR_MCE_KILL_SET, told, 0, 0) ||
	    (madvise(page, PAGE, MADV_HWPOISON) && errno != EBUSY))	/* the adapter holds it: done all the same */
		err(1, "memory cannot be made to fail");
}

static bool all_are(const uint8_t *data, size_t n, uint8_t value)
{
	while (n && *data == value)
		data++, n--;
	return !n;
}

/* told: at once, or when it is read */
static void in_slab(struct ibv_pd *pd, int told, bool read_it)
{
	struct slab *slab = slab_create(pd, BYTES), *other = slab_create(pd, BYTES);

	check(slab && other);
	memset(slab->data, BEFORE, BYTES);
	memset(other->data, BEFORE, BYTES);
	fail(slab->data + AT, told);
	if (told == PR_MCE_KILL_EARLY) {
		check(sd_event_run(loop, 1000000) > 0);
		check(slab->poisoned && slab_poisoned() == 1);
	}
	if (read_it)
		check(all_are(slab->data + AT, PAGE, 0));
	if (told == PR_MCE_KILL_LATE)
		check(sd_event_run(loop, 1000000) > 0);
	check(all_are(slab->data, AT, BEFORE) && all_are(slab->data + AT + PAGE, BYTES - AT - PAGE, BEFORE));
	check(slab->poisoned && !other->poisoned && slab_poisoned() == 1);
	check(!slab_revoke(slab));
	slab_free(slab);
	check(slab_poisoned() == 0 && slab_count() == 1);

	slab = slab_create(pd, BYTES);	/* at the same place */
	check(slab && !slab->poisoned && all_are(slab->data, BYTES, 0));
	check(all_are(other->data, BYTES, BEFORE));
	check(!slab_revoke(slab) && !slab_revoke(other));
	slab_free(slab);
	slab_free(other);
}

static uint8_t *other_memory(void)
{
	uint8_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		err(1, "mmap");
	*page = BEFORE;
	return page;
}

static void elsewhere_and_read(void)
{
	pid_t child = fork();
	int status;

	if (!child) {
		uint8_t *page = other_memory();

		fail(page, PR_MCE_KILL_LATE);
		_exit(*(volatile uint8_t *)page);
	}
	check(waitpid(child, &status, 0) == child);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

int main(void)
{
	struct ibv_pd *pd = open_adapter();

	check(!mlockall(MCL_CURRENT | MCL_FUTURE));
	check(sd_event_default(&loop) >= 0 && !poison_init(loop));
	in_slab(pd, PR_MCE_KILL_EARLY, false);
	in_slab(pd, PR_MCE_KILL_EARLY, true);
	in_slab(pd, PR_MCE_KILL_LATE, true);
	elsewhere_and_read();
	fail(other_memory(), PR_MCE_KILL_EARLY);
	check(sd_event_loop(loop) == EXIT_FAILURE);
	poison_exit();
	return 0;
}
