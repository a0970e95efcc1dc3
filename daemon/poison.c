// SPDX-License-Identifier: GPL-2.0
#include "poison.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "log.h"
#include "slab.h"

#define PAGE		4096
#define NOTED_MAX	64	/* between two turns of the loop; of more there is no line */

/* what the handler leaves to the loop to say */
struct note {
	_Atomic enum { NOTE_NONE, NOTE_WRITTEN, NOTE_READY } state;
	void *page;
	bool in_slab;
	uint64_t slab, extent, offset;
};

static struct note notes[NOTED_MAX];
static int wakes = -1;
static sd_event_source *woken;

static void note(void *page, const struct slab *slab)
{
	struct note *n;
	int none;

	for (n = notes; n < notes + NOTED_MAX; n++) {
		none = NOTE_NONE;
		if (!atomic_compare_exchange_strong(&n->state, &none, NOTE_WRITTEN))
			continue;
		n->page = page;
		n->in_slab = slab;
		if (slab) {
			n->slab = slab->number;
			n->extent = slab->extent;
			n->offset = (uint64_t)((uint8_t *)page - slab->data);
		}
		atomic_store(&n->state, NOTE_READY);
		break;
	}
	eventfd_write(wakes, 1);
}

/* what reads there now finds zeros */
static bool replace(void *page)
{
	return mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == page;
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	void *page = (void *)((uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1));
	bool was_read = info->si_code == BUS_MCEERR_AR;
	struct slab *slab = slab_at(page);
	int error = errno;

	(void)context;
	if ((was_read && slab && replace(page)) || info->si_code == BUS_MCEERR_AO) {
		if (!slab || !slab->poisoned)	/* once is enough */
			note(page, slab);
		if (slab)
			slab->poisoned = true;
	} else {
		signal(number, SIG_DFL);
		raise(number);
	}
	errno = error;
}

static int on_noted(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct note *n;
	eventfd_t times;
	bool ends = false;
	unsigned char present;

	(void)events;
	(void)arg;
	eventfd_read(fd, &times);
	for (n = notes; n < notes + NOTED_MAX; n++) {
		if (atomic_load(&n->state) != NOTE_READY)
			continue;
		if (!n->in_slab && mincore(n->page, PAGE, &present)) {	/* not mapped any more: it was a slab's that is free */
			atomic_store(&n->state, NOTE_NONE);
			continue;
		}
		if (n->in_slab)
			farswap_log("memory of a slab failed in hardware (slab %llu, extent %llu, offset %llu): its owner is to give it up",
				    (unsigned long long)n->slab, (unsigned long long)n->extent, (unsigned long long)n->offset);
		else
			farswap_log("memory of this process failed in hardware (at %p, in no slab): it ends", n->page);
		ends |= !n->in_slab;
		atomic_store(&n->state, NOTE_NONE);
	}
	return ends ? sd_event_exit(sd_event_source_get_event(source), EXIT_FAILURE) : 0;
}

int poison_init(sd_event *loop)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_RESTART };
	int ret;

	wakes = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wakes < 0)
		return -errno;
	ret = sd_event_add_io(loop, &woken, wakes, EPOLLIN, on_noted, NULL);
	if (ret < 0)
		return ret;
	if (sigaction(SIGBUS, &action, NULL))
		return -errno;
	/* else it is told only when it reads there itself, and its adapter may have long before */
	if (prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0))
		farswap_log("memory that fails in hardware is noticed only when it is read: %s", strerror(errno));
	return 0;
}

void poison_exit(void)
{
	woken = sd_event_source_disable_unref(woken);
	if (wakes >= 0)
		close(wakes);
	wakes = -1;
}
