// SPDX-License-Identifier: GPL-2.0
/*
 * The block front end: /dev/farswap0, bio-based. Each page of a write is copied before its bio ends and the bio ends
 * before submit_bio returns, so pages need not be stable afterwards; reads end in line too. Nothing is allocated.
 */
#include <linux/module.h>
#include <linux/pagemap.h>
#include "compat/block.h"
#include "device.h"

#define BATCH	7	/* READs of one bio in flight: small enough for the stack, of a kernel with KASAN too, and for the lanes */

struct batch {
	struct fsw_load loads[BATCH];
	void *pages[BATCH];
	unsigned int nr;
};

static bool whole_page(const struct bio_vec *v)
{
	return v->bv_len == FSW_PAGE && v->bv_offset % FSW_PAGE == 0;
}

static u64 sector_slot(sector_t sector)
{
	return sector >> (PAGE_SHIFT - SECTOR_SHIFT);
}

static void *vec_page(const struct bio_vec *v)
{
	return page_address(v->bv_page) + v->bv_offset;
}

/* Ends every load of the batch, in order. The first error, or 0. */
static int batch_end(struct fsw_core *core, struct batch *batch)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < batch->nr; i++) {
		int error = fsw_load_end(core, &batch->loads[i], batch->pages[i]);

		ret = ret ?: error;
	}
	batch->nr = 0;
	return ret;
}

static int bio_read(struct fsw_core *core, struct bio *bio)
{
	u64 slot = sector_slot(bio->bi_iter.bi_sector);
	struct bvec_iter iter;
	struct batch batch;
	struct bio_vec v;
	int ret = 0;

	batch.nr = 0;
	bio_for_each_segment(v, bio, iter) {
		unsigned int i = batch.nr;
		bool more;

		if (!whole_page(&v)) {
			ret = -EINVAL;
			break;
		}
		batch.pages[i] = vec_page(&v);
		batch.nr++;
		more = fsw_load_begin(core, &batch.loads[i], slot++, iter.bi_size > FSW_PAGE);
		if (more && batch.nr < BATCH)
			continue;
		ret = batch_end(core, &batch);
		if (ret)
			break;
	}
	return batch_end(core, &batch) ?: ret;
}

/* A read into the swap cache may have to wait for its copies as long as a swapoff is under way: see unread.h. */
static int swap_read(struct fsw_device *dev, struct bio *bio)
{
	u64 slot = sector_slot(bio->bi_iter.bi_sector);
	bool cached = fsw_unread_reads_cache(bio);
	unsigned int seconds;
	int ret;

	for (seconds = 0;; seconds++) {
		ret = bio_read(dev->core, bio);
		if (!ret && cached)
			fsw_unread_gone(&dev->unread, slot);
		if (!ret || ret == -EINVAL || !cached || fsw_unread_add(&dev->unread, slot))
			return ret;
		if (seconds % 60 == 0)
			pr_warn("%s: %s waits for a page that has no readable copy: a swapoff is under way, and this kernel's would take other bytes for it\n",
				fsw_bio_disk(bio)->disk_name, current->comm);
		schedule_timeout_idle(HZ);
	}
}

static int bio_write(struct fsw_core *core, struct bio *bio)
{
	u64 slot = sector_slot(bio->bi_iter.bi_sector);
	struct bvec_iter iter;
	struct bio_vec v;
	int ret;

	bio_for_each_segment(v, bio, iter) {
		if (!whole_page(&v))
			return -EINVAL;
		ret = fsw_store(core, slot++, vec_page(&v));
		if (ret)
			return ret;
	}
	return 0;
}

static blk_status_t bio_serve(struct fsw_device *dev, struct bio *bio)
{
	if (bio->bi_iter.bi_sector % (FSW_PAGE >> SECTOR_SHIFT))
		return BLK_STS_IOERR;
	switch (bio_op(bio)) {
	case REQ_OP_READ:
		return swap_read(dev, bio) ? BLK_STS_IOERR : BLK_STS_OK;
	case REQ_OP_WRITE:
		return bio_write(dev->core, bio) ? BLK_STS_IOERR : BLK_STS_OK;
	default:
		return BLK_STS_NOTSUPP;
	}
}

static fsw_submit_bio_t disk_submit_bio(struct bio *bio)
{
	struct fsw_device *dev = fsw_bio_disk(bio)->private_data;
	unsigned long start = bio_start_io_acct(bio);

	bio->bi_status = bio_serve(dev, bio);
	bio_end_io_acct(bio, start);
	bio_endio(bio);
	return FSW_SUBMIT_BIO_RET;
}

#ifdef FSW_HAVE_RW_PAGE
/* One page without a bio; a large folio has one. */
static int disk_rw_page(struct block_device *bdev, sector_t sector, struct page *page, enum req_op op)
{
	struct fsw_device *dev = bdev->bd_disk->private_data;
	unsigned long start;
	int ret;

	if (PageTransHuge(page))
		return -EOPNOTSUPP;
	start = bdev_start_io_acct(bdev, FSW_PAGE >> SECTOR_SHIFT, op, jiffies);
	if (op_is_write(op))
		ret = fsw_store(dev->core, sector_slot(sector), page_address(page));
	else
		ret = fsw_load(dev->core, sector_slot(sector), page_address(page));
	bdev_end_io_acct(bdev, op, start);
	/* with an error the page is the caller's still, who tries again with a bio, which tells the error */
	if (ret)
		return ret;
	page_endio(page, op_is_write(op), 0);
	return 0;
}
#endif

/* The kernel freed a swap slot. Spinlocks held, interrupts perhaps off. */
static void disk_slot_free(struct block_device *bdev, unsigned long slot)
{
	struct fsw_device *dev = bdev->bd_disk->private_data;

	fsw_unread_gone(&dev->unread, slot);
	fsw_invalidate(dev->core, slot);
}

static int disk_opened(struct gendisk *disk)
{
	struct fsw_device *dev = disk->private_data;
	unsigned long unread;

	if (!atomic_inc_unless_negative(&dev->openers))
		return -ENXIO;
	unread = fsw_unread_open(&dev->unread);
	if (!unread)
		return 0;
	atomic_dec(&dev->openers);
	pr_warn_ratelimited("%s: not opened, no swapoff now: the kernel has %lu pages in memory whose read failed, and its swapoff would take other bytes for them; end the programs that met read errors, remove their files in tmpfs\n",
			    disk->disk_name, unread);
	return -EBUSY;
}

static void disk_released(struct gendisk *disk)
{
	struct fsw_device *dev = disk->private_data;

	fsw_unread_release(&dev->unread);
	atomic_dec(&dev->openers);
}

FSW_DISK_OPEN(disk_open, disk_opened)
FSW_DISK_RELEASE(disk_release, disk_released)

static const struct block_device_operations disk_ops = {
	.owner = THIS_MODULE,	/* an open disk holds the module */
	.submit_bio = disk_submit_bio,
	.open = disk_open,
	.release = disk_release,
	.swap_slot_free_notify = disk_slot_free,
#ifdef FSW_HAVE_RW_PAGE
	.rw_page = disk_rw_page,
#endif
};

struct gendisk *fsw_disk_new(struct fsw_device *dev)
{
	struct gendisk *disk = fsw_disk_alloc(FSW_PAGE);
	int ret;

	if (IS_ERR(disk))
		return disk;
	disk->fops = &disk_ops;
	disk->private_data = dev;
	disk->flags |= FSW_DISK_FLAGS;
	strscpy(disk->disk_name, FSW_DEVICE_NAME, sizeof(disk->disk_name));
	set_capacity(disk, dev->params.size >> SECTOR_SHIFT);
	ret = fsw_disk_add(disk, fsw_disk_groups);
	if (ret) {
		fsw_disk_put(disk);
		return ERR_PTR(ret);
	}
	return disk;
}

void fsw_disk_del(struct gendisk *disk)
{
	del_gendisk(disk);
	fsw_disk_put(disk);
}
