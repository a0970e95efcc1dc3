// SPDX-License-Identifier: GPL-2.0
#include "harden.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "log.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

#define OOM_SCORE_LEAST	(-1000)

static int write_oom_score(int score)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d", score);
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, (size_t)n) != n)
		ret = -errno;
	close(fd);
	return ret;
}

static void lower_oom_score(void)
{
	int score;

	for (score = OOM_SCORE_LEAST; score < 0; score += 100)
		if (!write_oom_score(score))
			break;
	if (score > OOM_SCORE_LEAST)
		farswap_log("not permitted to leave the OOM killer's list: oom_score_adj is %d", score);
}

static void lock_memory(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_MEMLOCK, &limit) && !getrlimit(RLIMIT_MEMLOCK, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_MEMLOCK, &limit);
	}
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		farswap_log("memory not locked (%s): raise the locked-memory limit (ulimit -l, LimitMEMLOCK=) or be root",
			    strerror(errno));
}

void harden(void)
{
	lower_oom_score();
	lock_memory();
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) && errno != EINVAL)	/* EINVAL: a kernel before 5.6 */
		farswap_log("not permitted to be an I/O flusher: %s", strerror(errno));
}
