// SPDX-License-Identifier: GPL-2.0
/* /sys/block/farswap0/farswap/: the counters, one file each, read-only. They go with the disk, before the core goes. */
#include <linux/sysfs.h>
#include "compat/block.h"
#include "device.h"

static ssize_t show(struct device *d, size_t offset, char *page)
{
	struct fsw_device *dev = dev_to_disk(d)->private_data;
	struct farswap_counters counters;

	fsw_counters(dev->core, &counters);
	return sysfs_emit(page, "%llu\n", *(unsigned long long *)((char *)&counters + offset));
}

#define COUNTER(name)									\
static ssize_t name##_show(struct device *d, struct device_attribute *attr, char *page)	\
{											\
	return show(d, offsetof(struct farswap_counters, name), page);			\
}											\
static DEVICE_ATTR_RO(name)

COUNTER(stores);		/* pages accepted */
COUNTER(loads);			/* pages given back, from wherever */
COUNTER(loads_staged);		/* of these, from the staging pool */
COUNTER(loads_empty);		/* of these, never written: zeros */
COUNTER(frees);			/* slots freed by the kernel */
COUNTER(refused);		/* stores refused: pool or extents short, or a worker */
COUNTER(waits);			/* stores that waited for room in the pool */
COUNTER(load_errors);		/* loads that failed */
COUNTER(corrupt);		/* copies that did not verify */
COUNTER(read_failovers);	/* READs tried on another replica after an error */
COUNTER(read_hedges);		/* READs tried on another replica after a timeout */
COUNTER(windows);		/* windows written */
COUNTER(write_wrs);		/* WRITE work requests posted */
COUNTER(write_chains);		/* doorbells for them */
COUNTER(write_bytes);		/* bytes in them */
COUNTER(read_wrs);		/* READ work requests posted */
COUNTER(parked);		/* windows that waited for a replica or a frame */
COUNTER(held);			/* slots that hold a page now */
COUNTER(staged);		/* of these, in the staging pool */
COUNTER(degraded);		/* extents with fewer live members than copies */
COUNTER(load_p50_ns);		/* page-in, median: from entering the module to verified */
COUNTER(load_p99_ns);		/* the same, 99th percentile */

static struct attribute *counters_attrs[] = {
	&dev_attr_stores.attr,
	&dev_attr_loads.attr,
	&dev_attr_loads_staged.attr,
	&dev_attr_loads_empty.attr,
	&dev_attr_frees.attr,
	&dev_attr_refused.attr,
	&dev_attr_waits.attr,
	&dev_attr_load_errors.attr,
	&dev_attr_corrupt.attr,
	&dev_attr_read_failovers.attr,
	&dev_attr_read_hedges.attr,
	&dev_attr_windows.attr,
	&dev_attr_write_wrs.attr,
	&dev_attr_write_chains.attr,
	&dev_attr_write_bytes.attr,
	&dev_attr_read_wrs.attr,
	&dev_attr_parked.attr,
	&dev_attr_held.attr,
	&dev_attr_staged.attr,
	&dev_attr_degraded.attr,
	&dev_attr_load_p50_ns.attr,
	&dev_attr_load_p99_ns.attr,
	NULL
};

static_assert(ARRAY_SIZE(counters_attrs) - 1 == sizeof(struct farswap_counters) / sizeof(unsigned long long),
	      "each counter has its file");

static const struct attribute_group counters_group = {
	.name = "farswap",
	.attrs = counters_attrs,
};

const struct attribute_group *fsw_disk_groups[] = {
	&counters_group,
	NULL
};
