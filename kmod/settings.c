// SPDX-License-Identifier: GPL-2.0
#include <linux/cpumask.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/string.h>
#include "ahead.h"
#include "compat/frontswap.h"
#include "settings.h"

#define STAGING_MAX	65536
#define SCRUB_MAX	100000
#define LANES_AUTO	UINT_MAX	/* not a value that passes the check when it is given */
#define STAGING_AUTO	UINT_MAX	/* the same */

struct fsw_settings fsw_settings = {
	.window = 32,
	.staging_pages = 2048,
	.staging_max = STAGING_AUTO,
	.readahead_pages = 1024,
	.scrub = 64,
	.lanes = LANES_AUTO,
	.close_ms = 2,
	.store_ms = 10000,
	.hedge_ms = 200,
	.load_ms = 20000,
	.write_ms = 8000,
	.poll_us = 20,
	.ack_timeout = 17,
	.frontend = "block",
};

static bool settled;	/* all were checked */

#define SETTING(name, text)						\
	module_param_named(name, fsw_settings.name, uint, 0444);	\
	MODULE_PARM_DESC(name, text)

SETTING(window, "pages written together, a power of two from 1 to 64 (default 32)");
SETTING(staging_pages, "pages in the staging pool, a multiple of window, from 2 windows to 65536 (default 2048)");
SETTING(staging_max, "pages that the pool can be resized to in sysfs, staging_pages to 65536 (default: twice staging_pages)");
SETTING(readahead_pages, "pages in the read-ahead buffers, a multiple of 16 from 64 to 16384 (default 1024)");
SETTING(lanes, "queue pairs per peer for loads, 1 to 16 (default: online CPUs, at most 4)");
SETTING(close_ms, "an open window is sent after this many milliseconds, 1 to 100 (default 2)");
SETTING(store_ms, "a store waits this many milliseconds for room, 100 to 60000 (default 10000)");
SETTING(hedge_ms, "a READ is tried on another replica after this many milliseconds, 1 to 10000 (default 200)");
SETTING(load_ms, "a load fails after this many milliseconds, 1000 to 120000 (default 20000)");
SETTING(write_ms, "a peer that leaves a WRITE or READ unanswered this long (ms) is lost, 1000 to 120000 (default 8000)");
SETTING(poll_us, "a load polls this many microseconds before it sleeps, 0 to 1000 (default 20)");
SETTING(ack_timeout, "RC local ACK timeout exponent, 10 to 24 (default 17: 0.5 s)");

module_param_named(frontend, fsw_settings.frontend, charp, 0444);
MODULE_PARM_DESC(frontend, "how pages come: block, or frontswap as well where the kernel has it (default block)");

static int check_range(const char *name, unsigned int value, unsigned int min, unsigned int max)
{
	if (value >= min && value <= max)
		return 0;
	pr_err("parameter %s=%u is out of range: %u to %u\n", name, value, min, max);
	return -EINVAL;
}

/*
 * Those that may be written live. While the module is being loaded they are checked with the others: then what is told is one line,
 * and not this and the kernel's own.
 */
static int live_set(const char *name, unsigned int max, const char *text, unsigned int *setting)
{
	unsigned int value;
	int ret = kstrtouint(text, 0, &value);

	if (!ret && settled)
		ret = check_range(name, value, 0, max);
	if (!ret)
		WRITE_ONCE(*setting, value);
	return ret;
}

#define LIVE(name, max, text)									\
static int name##_set(const char *value, const struct kernel_param *param)			\
{												\
	return live_set(#name, max, value, param->arg);						\
}												\
static const struct kernel_param_ops name##_ops = { .set = name##_set, .get = param_get_uint };	\
module_param_cb(name, &name##_ops, &fsw_settings.name, 0644);					\
MODULE_PARM_DESC(name, text)

LIVE(readahead, FSW_AHEAD_MAX, "pages of the read-ahead window, the page asked for included: 2 to 64, 0 adaptive, 1 off (default 0)");
LIVE(scrub, SCRUB_MAX, "stored pages per second whose copies are all read and verified, 0 (off) to 100000 (default 64)");

#define CHECK(name, min, max)	check_range(#name, fsw_settings.name, min, max)

static int check_ranges(void)
{
	const struct fsw_settings *s = &fsw_settings;
	int ret = CHECK(window, 1, FSW_WINDOW_MAX);

	ret = ret ?: CHECK(staging_pages, 2, STAGING_MAX);
	ret = ret ?: CHECK(staging_max, s->staging_pages, STAGING_MAX);
	ret = ret ?: CHECK(readahead_pages, 64, 16384);
	ret = ret ?: CHECK(readahead, 0, FSW_AHEAD_MAX);
	ret = ret ?: CHECK(lanes, 1, FSW_LANES_MAX);
	ret = ret ?: CHECK(scrub, 0, SCRUB_MAX);
	ret = ret ?: CHECK(close_ms, 1, 100);
	ret = ret ?: CHECK(store_ms, 100, 60000);
	ret = ret ?: CHECK(hedge_ms, 1, 10000);
	ret = ret ?: CHECK(load_ms, 1000, 120000);
	ret = ret ?: CHECK(write_ms, 1000, 120000);
	ret = ret ?: CHECK(poll_us, 0, 1000);
	return ret ?: CHECK(ack_timeout, 10, 24);
}

static int check_frontend(struct fsw_settings *s)
{
	const char *missing = fsw_frontswap_missing();

	if (!strcmp(s->frontend, "block"))
		return 0;
	if (strcmp(s->frontend, "frontswap")) {
		pr_err("parameter frontend=%s is out of range: block or frontswap\n", s->frontend);
		return -EINVAL;
	}
	if (missing) {
		pr_err("parameter frontend=frontswap cannot be had: %s; load with frontend=block\n", missing);
		return -EOPNOTSUPP;
	}
	s->frontswap = true;
	return 0;
}

int fsw_settings_init(void)
{
	struct fsw_settings *s = &fsw_settings;
	int ret;

	if (s->lanes == LANES_AUTO)
		s->lanes = clamp_t(unsigned int, num_online_cpus(), 1, 4);
	if (s->staging_max == STAGING_AUTO)
		s->staging_max = clamp_t(unsigned int, s->staging_pages, 1, STAGING_MAX / 2) * 2;
	ret = check_ranges();
	if (ret)
		return ret;
	if (!is_power_of_2(s->window)) {
		pr_err("parameter window=%u is out of range: a power of two, 1 to %u\n", s->window, FSW_WINDOW_MAX);
		return -EINVAL;
	}
	if (s->staging_pages < 2 * s->window || s->staging_pages % s->window) {
		pr_err("parameter staging_pages=%u is out of range: %u to %u, a multiple of window=%u\n",
		       s->staging_pages, 2 * s->window, STAGING_MAX, s->window);
		return -EINVAL;
	}
	if (s->readahead_pages % FSW_FETCH_LINES) {
		pr_err("parameter readahead_pages=%u is out of range: 64 to 16384, a multiple of %u\n", s->readahead_pages,
		       FSW_FETCH_LINES);
		return -EINVAL;
	}
	ret = check_frontend(s);
	if (ret)
		return ret;
	settled = true;
	return 0;
}
