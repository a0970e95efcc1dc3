// SPDX-License-Identifier: GPL-2.0
#include "core_int.h"

#define STEP_MS	20	/* is done of its work at once, and taken by it */
#define IDLE_MS	1000	/* between two passes, and with nothing to do */

static void scrub_queue(struct fsw_scrub *scrub, unsigned int ms)
{
	if (!READ_ONCE(scrub->core->staging.stopping))
		queue_delayed_work(scrub->wq, &scrub->work, msecs_to_jiffies(ms));
}

static void scrub_work(struct work_struct *work)
{
	struct fsw_scrub *scrub = container_of(to_delayed_work(work), struct fsw_scrub, work);
	struct fsw_core *core = scrub->core;
	u64 began_ns = ktime_get_ns();
	unsigned int rate = READ_ONCE(*core->params.scrub), nr = 0, ms = 0, took_ms = 0;
	bool end = !rate;

	for (; !end && ms < STEP_MS && took_ms < STEP_MS; nr++, ms = nr * MSEC_PER_SEC / rate) {
		end = !fsw_slot_scrub(core, &scrub->slot);
		took_ms = div_u64(ktime_get_ns() - began_ns, NSEC_PER_MSEC);
	}
	if (end)
		scrub->slot = 0;
	scrub_queue(scrub, end ? IDLE_MS : ms > took_ms ? ms - took_ms : 1);
}

int fsw_scrub_init(struct fsw_scrub *scrub, struct fsw_core *core)
{
	scrub->core = core;
	INIT_DELAYED_WORK(&scrub->work, scrub_work);
	if (!core->params.scrub)
		return 0;
	/* of its own: it waits for READs, and nothing that a page waits for waits for it */
	scrub->wq = alloc_workqueue("farswap_scrub", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!scrub->wq)
		return -ENOMEM;
	scrub_queue(scrub, IDLE_MS);
	return 0;
}

void fsw_scrub_stop(struct fsw_scrub *scrub)
{
	cancel_delayed_work_sync(&scrub->work);
}

void fsw_scrub_exit(struct fsw_scrub *scrub)
{
	if (scrub->wq)
		destroy_workqueue(scrub->wq);
}
