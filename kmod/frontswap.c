// SPDX-License-Identifier: GPL-2.0
/*
 * The frontswap front end, beside the block front end. /dev/farswap0 stays the swap device that gives the slots; a page that is to be
 * written to it is offered here first, and what is refused here goes there as a bio. Both use the swap offset as slot of one map, so
 * whichever way a page came, there is one place where it can be, and a load that fails here fails there too.
 *
 * Other backends (zswap) may be registered as well. The kernel offers a page to each, the newest first, and keeps one bit per slot:
 * one of them took it. With the bit set it asks each for the page; when the slot is freed or rewritten it tells each. So a load answers
 * for nothing but what the map holds, and a refused page leaves nothing behind: another backend may take it.
 */
#include <linux/blkdev.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/swap.h>
#include "device.h"
#include "frontswap.h"

/*
 * Whose swap device a type is, found out at its first store: NULL not yet, OTHERS, or ours. From swapon to swapoff a type is one
 * device, and init and invalidate_area are the two ends of that. In between the disk is open, so its device cannot go down.
 */
static struct fsw_device *types[MAX_SWAPFILES];

#define OTHERS	((struct fsw_device *)ERR_PTR(-ENODEV))

static struct fsw_device *device_find(struct inode *inode)
{
	struct gendisk *disk;

	if (!S_ISBLK(inode->i_mode))
		return OTHERS;
	disk = I_BDEV(inode)->bd_disk;
	if (disk->fops->owner != THIS_MODULE || inode->i_rdev != disk_devt(disk))
		return OTHERS;
	return disk->private_data;
}

static void tell_others(struct inode *inode)
{
	struct block_device *bdev = S_ISBLK(inode->i_mode) ? I_BDEV(inode) : inode->i_sb->s_bdev;

	pr_info("swap on %pg does not go through farswap: frontend=frontswap serves /dev/" FSW_DEVICE_NAME " only\n", bdev);
}

/* The locked page's swap device, or OTHERS. */
static struct fsw_device *page_device(unsigned int type, struct page *page)
{
	struct inode *inode = page_file_mapping(page)->host;
	struct fsw_device *dev = device_find(inode);

	if (!cmpxchg(&types[type], NULL, dev) && dev == OTHERS)
		tell_others(inode);
	return dev;
}

/* Our device of that type, or NULL when it is another's or has not stored yet. */
static struct fsw_device *type_device(unsigned int type)
{
	struct fsw_device *dev = READ_ONCE(types[type]);

	return dev == OTHERS ? NULL : dev;
}

/* ---- the kernel's calls ---- */

/* Swapped on. Process context. */
static void frontswap_init_type(unsigned int type)
{
	WRITE_ONCE(types[type], NULL);
}

/* Process context, in reclaim; the page is locked and in the swap cache. A huge page goes by bio, which overwrites all of its slots. */
static int frontswap_store_page(unsigned int type, pgoff_t offset, struct page *page)
{
	struct fsw_device *dev = READ_ONCE(types[type]) ?: page_device(type, page);
	int ret;

	if (dev == OTHERS)
		return -ENODEV;
	if (PageTransHuge(page))
		return -EOPNOTSUPP;
	ret = fsw_store(dev->core, offset, page_address(page));
	if (ret)
		fsw_invalidate(dev->core, offset);
	return ret;
}

/* Process context; the page is locked, so nobody stores into its slot. */
static int frontswap_load_page(unsigned int type, pgoff_t offset, struct page *page)
{
	struct fsw_device *dev = type_device(type);
	int ret;

	if (!dev || !fsw_held(dev->core, offset))
		return -ENOENT;
	ret = fsw_load(dev->core, offset, page_address(page));
	if (!ret)
		fsw_unread_gone(&dev->unread, offset);
	return ret;
}

/* Spinlocks held, interrupts perhaps off. */
static void frontswap_free(unsigned int type, pgoff_t offset)
{
	struct fsw_device *dev = type_device(type);

	if (dev)
		fsw_invalidate(dev->core, offset);
}

/* Swapped off: every slot has been freed, the disk is about to be closed. Process context. */
static void frontswap_exit_type(unsigned int type)
{
	WRITE_ONCE(types[type], NULL);
}

static struct frontswap_ops frontswap_ops = {
	.init = frontswap_init_type,
	.store = frontswap_store_page,
	.load = frontswap_load_page,
	.invalidate_page = frontswap_free,
	.invalidate_area = frontswap_exit_type,
};

void fsw_frontswap_init(void)
{
	__module_get(THIS_MODULE);
	frontswap_register_ops(&frontswap_ops);
	pr_info("frontend=frontswap: the kernel takes no frontswap backend back, so this module stays until the next boot\n");
}
