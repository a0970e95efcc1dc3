// SPDX-License-Identifier: GPL-2.0
#include "farswapd.h"

int farswapd_timer(sd_event_source **source, uint64_t usec, sd_event_time_handler_t handler, void *arg)
{
	int ret;

	if (!*source)
		return sd_event_add_time_relative(farswapd.loop, source, CLOCK_MONOTONIC, usec, 1000, handler, arg);
	ret = sd_event_source_set_time_relative(*source, usec);
	return ret < 0 ? ret : sd_event_source_set_enabled(*source, SD_EVENT_ONESHOT);
}

void farswapd_timer_stop(sd_event_source *source)
{
	if (source)
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
}
