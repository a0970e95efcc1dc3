// SPDX-License-Identifier: GPL-2.0
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include "stall.h"

static unsigned int stall_one_in = 8, stall_us = 50, stall_ms = 5, stall_seed = 1;

module_param(stall_one_in, uint, 0644);
MODULE_PARM_DESC(stall_one_in, "one in so many passes through a place stalls (default 8, 0: none)");
module_param(stall_us, uint, 0644);
MODULE_PARM_DESC(stall_us, "microseconds at most, where nothing may sleep and on a page's way (default 50)");
module_param(stall_ms, uint, 0644);
MODULE_PARM_DESC(stall_ms, "milliseconds at most, elsewhere (default 5)");
module_param(stall_seed, uint, 0644);
MODULE_PARM_DESC(stall_seed, "what is drawn from (default 1)");

static atomic_t stalls;

/* splitmix64 */
static u64 mix(u64 x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* How long to stall now, at most so long; 0: not at all. The n-th pass through a place draws the same for the same seed, whatever else runs. */
static unsigned int draw(struct fsw_stall_site *site, unsigned int most)
{
	unsigned int one_in = READ_ONCE(stall_one_in);
	u64 x = READ_ONCE(stall_seed);
	const char *c;

	for (c = site->where; *c; c++)
		x = mix(x ^ *c);
	x = mix(x ^ (u32)atomic_inc_return(&site->passed));
	if (!one_in || !most || (u32)x % one_in)
		return 0;
	atomic_inc(&stalls);
	return (x >> 32) % most + 1;
}

void fsw_stall_spin(struct fsw_stall_site *site)
{
	unsigned int us = draw(site, READ_ONCE(stall_us));
	u64 until = ktime_get_ns() + (u64)us * NSEC_PER_USEC;

	/* emulated, each of these is another CPU's turn */
	while (us && ktime_get_ns() < until)
		cpu_relax();
}

void fsw_stall_us(struct fsw_stall_site *site)
{
	unsigned int us = draw(site, READ_ONCE(stall_us));

	if (us)
		usleep_range(us, us + 1);
}

void fsw_stall_ms(struct fsw_stall_site *site)
{
	unsigned int us = draw(site, READ_ONCE(stall_ms) * USEC_PER_MSEC);

	if (us)
		fsleep(us);
}

void fsw_stalls_tell(void)
{
	pr_info("stalled %d times\n", atomic_read(&stalls));
}
