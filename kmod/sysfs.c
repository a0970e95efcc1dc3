// SPDX-License-Identifier: GPL-2.0
/* /sys/block/farswap0/farswap/: the counters, one file each, read-only, and what can be set: codec, staging_pages. They go with the disk, before the core goes. */
#include <linux/sysfs.h>
#include "compat/block.h"
#include "codec.h"
#include "device.h"

static DEFINE_MUTEX(staging_lock);	/* one resize at a time */

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
COUNTER(loads_ahead);		/* of these, from the read-ahead buffers */
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
COUNTER(read_bytes);		/* bytes in them */
COUNTER(ahead_pages);		/* pages read ahead */
COUNTER(ahead_used);		/* of these, loaded */
COUNTER(ahead_waits);		/* loads that waited for one on its way */
COUNTER(parked);		/* windows that waited for a replica or a frame */
COUNTER(held);			/* slots that hold a page now */
COUNTER(staged);		/* of these, in the staging pool */
COUNTER(degraded);		/* extents with fewer live members that miss nothing than copies */
COUNTER(mended);		/* slots written again to a member that missed them or had them wrong */
COUNTER(scrubbed);		/* stored pages whose copies were read and verified in the background */
COUNTER(missed);		/* frames that live members still miss */
COUNTER(filled);		/* slots held whose page is one word over and over: in the map alone */
COUNTER(stored_4096);		/* pages in frames of their own, */
COUNTER(stored_2048);		/* and compressed into classes of so many bytes */
COUNTER(stored_1024);
COUNTER(stored_512);
COUNTER(frames);		/* 4 KiB frames in use on each donor of a set */
COUNTER(compacted);		/* pages moved to free frames full of holes */
COUNTER(metadata_bytes);	/* of kernel memory, for the map and the extents */
COUNTER(load_p50_ns);		/* page-in, median: from entering the module to verified */
COUNTER(load_p99_ns);		/* the same, 99th percentile */

/* The codec of pages stored from now on: read, it stands in brackets among those there are; written, one of them. */
static ssize_t codec_show(struct device *d, struct device_attribute *attr, char *page)
{
	struct fsw_device *dev = dev_to_disk(d)->private_data;
	enum farswap_codec now = fsw_codec_get(dev->core);
	int codec, at = 0;

	for (codec = 0; codec < FARSWAP_CODECS; codec++)
		at += sysfs_emit_at(page, at, codec == now ? "[%s] " : "%s ", fsw_codec_name(codec));
	page[at - 1] = '\n';
	return at;
}

static ssize_t codec_store(struct device *d, struct device_attribute *attr, const char *text, size_t bytes)
{
	struct fsw_device *dev = dev_to_disk(d)->private_data;
	char name[8];
	int codec = -EINVAL;

	if (bytes < sizeof(name) && strscpy(name, text, sizeof(name)) > 0)
		codec = fsw_codec_parse(strim(name));
	if (codec < 0) {
		pr_err("%s: there is no such codec: none, lz4, lzo or zstd\n", FSW_DEVICE_NAME);
		return codec;
	}
	fsw_codec_set(dev->core, codec);
	return bytes;
}
static DEVICE_ATTR_RW(codec);

/* Pages in the staging pool: read and, between 2 windows and the module's staging_max, written. */
static ssize_t staging_pages_show(struct device *d, struct device_attribute *attr, char *page)
{
	struct fsw_device *dev = dev_to_disk(d)->private_data;

	return sysfs_emit(page, "%u\n", fsw_staging_get(dev->core));
}

static ssize_t staging_pages_store(struct device *d, struct device_attribute *attr, const char *text, size_t bytes)
{
	struct fsw_device *dev = dev_to_disk(d)->private_data;
	unsigned int pages;
	int ret = kstrtouint(text, 0, &pages);

	if (ret)
		return ret;
	mutex_lock(&staging_lock);
	ret = fsw_staging_set(dev->core, pages);
	mutex_unlock(&staging_lock);
	if (ret == -EINVAL)
		pr_err("%s: staging_pages=%u is out of range: %u to %u, a multiple of window=%u\n", FSW_DEVICE_NAME, pages,
		       2 * dev->params.window, dev->params.staging_max, dev->params.window);
	else if (ret)
		pr_err("%s: staging_pages=%u: %s; it is %u\n", FSW_DEVICE_NAME, pages, ret == -EBUSY ?
		       "pages wait for donors in the pool, try again" : "out of memory", fsw_staging_get(dev->core));
	return ret ?: bytes;
}
static DEVICE_ATTR_RW(staging_pages);

static struct attribute *counters_attrs[] = {
	&dev_attr_codec.attr,
	&dev_attr_staging_pages.attr,
	&dev_attr_stores.attr,
	&dev_attr_loads.attr,
	&dev_attr_loads_staged.attr,
	&dev_attr_loads_empty.attr,
	&dev_attr_loads_ahead.attr,
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
	&dev_attr_read_bytes.attr,
	&dev_attr_ahead_pages.attr,
	&dev_attr_ahead_used.attr,
	&dev_attr_ahead_waits.attr,
	&dev_attr_parked.attr,
	&dev_attr_held.attr,
	&dev_attr_staged.attr,
	&dev_attr_degraded.attr,
	&dev_attr_mended.attr,
	&dev_attr_scrubbed.attr,
	&dev_attr_missed.attr,
	&dev_attr_filled.attr,
	&dev_attr_stored_4096.attr,
	&dev_attr_stored_2048.attr,
	&dev_attr_stored_1024.attr,
	&dev_attr_stored_512.attr,
	&dev_attr_frames.attr,
	&dev_attr_compacted.attr,
	&dev_attr_metadata_bytes.attr,
	&dev_attr_load_p50_ns.attr,
	&dev_attr_load_p99_ns.attr,
	NULL
};

static_assert(ARRAY_SIZE(counters_attrs) - 3 == sizeof(struct farswap_counters) / sizeof(unsigned long long),
	      "each counter has its file, and what can be set");

static const struct attribute_group counters_group = {
	.name = "farswap",
	.attrs = counters_attrs,
};

const struct attribute_group *fsw_disk_groups[] = {
	&counters_group,
	NULL
};
