/* SPDX-License-Identifier: GPL-2.0 */
/* The block layer's differences between kernels. */
#ifndef FSW_COMPAT_BLOCK_H
#define FSW_COMPAT_BLOCK_H

#include <linux/blkdev.h>
#include <linux/err.h>

/* ->submit_bio returns nothing, or a cookie that nobody looks at */
#ifdef FSW_HAVE_SUBMIT_BIO_VOID
typedef void fsw_submit_bio_t;
#define FSW_SUBMIT_BIO_RET
#else
typedef blk_qc_t fsw_submit_bio_t;
#define FSW_SUBMIT_BIO_RET	BLK_QC_T_NONE
#endif

static inline struct gendisk *fsw_bio_disk(struct bio *bio)
{
#ifdef FSW_HAVE_BIO_BDEV
	return bio->bi_bdev->bd_disk;
#else
	return bio->bi_disk;
#endif
}

/* ->open and ->release take the disk or its block device */
#ifdef FSW_HAVE_OPEN_DISK
#define FSW_DISK_OPEN(name, open)	\
	static int name(struct gendisk *disk, blk_mode_t mode) { return open(disk); }
#define FSW_DISK_RELEASE(name, release)	\
	static void name(struct gendisk *disk) { release(disk); }
#else
#define FSW_DISK_OPEN(name, open)	\
	static int name(struct block_device *bdev, fmode_t mode) { return open(bdev->bd_disk); }
#define FSW_DISK_RELEASE(name, release)	\
	static void name(struct gendisk *disk, fmode_t mode) { release(disk); }
#endif

#ifdef FSW_HAVE_NO_PART
#define FSW_DISK_FLAGS	GENHD_FL_NO_PART
#else
#define FSW_DISK_FLAGS	(GENHD_FL_NO_PART_SCAN | GENHD_FL_EXT_DEVT)
#endif

/*
 * A bio-based disk whose every transfer is whole aligned blocks of that many bytes, non-rotational, without discard.
 * Process context. ERR_PTR(-ENOMEM).
 */
#ifdef FSW_HAVE_DISK_LIMITS
static inline struct gendisk *fsw_disk_alloc(unsigned int block)
{
	struct queue_limits lim = {
		.logical_block_size = block,
		.physical_block_size = block,
		.io_min = block,
		.dma_alignment = block - 1,
		.max_hw_sectors = UINT_MAX,
#ifdef FSW_HAVE_FEAT_SYNCHRONOUS
		.features = BLK_FEAT_SYNCHRONOUS,
#endif
	};

	return blk_alloc_disk(&lim, NUMA_NO_NODE);
}
#else
static inline void fsw_queue_limits(struct request_queue *q, unsigned int block)
{
	blk_queue_logical_block_size(q, block);
	blk_queue_physical_block_size(q, block);
	blk_queue_io_min(q, block);
	blk_queue_dma_alignment(q, block - 1);
	blk_queue_max_hw_sectors(q, UINT_MAX);
	blk_queue_flag_set(QUEUE_FLAG_NONROT, q);
	blk_queue_flag_clear(QUEUE_FLAG_ADD_RANDOM, q);
}

static inline struct gendisk *fsw_disk_alloc(unsigned int block)
{
#ifdef FSW_HAVE_BLK_ALLOC_DISK
	struct gendisk *disk = blk_alloc_disk(NUMA_NO_NODE);

	if (!disk)
		return ERR_PTR(-ENOMEM);
#else
	struct gendisk *disk = alloc_disk(0);

	if (!disk)
		return ERR_PTR(-ENOMEM);
	disk->queue = blk_alloc_queue(NUMA_NO_NODE);
	if (!disk->queue) {
		put_disk(disk);
		return ERR_PTR(-ENOMEM);
	}
#endif
	fsw_queue_limits(disk->queue, block);
	return disk;
}
#endif

/* Show it, with the attributes. 0 or -errno. */
static inline int fsw_disk_add(struct gendisk *disk, const struct attribute_group **groups)
{
#ifdef FSW_HAVE_ADD_DISK_INT
	return device_add_disk(NULL, disk, groups);
#else
	device_add_disk(NULL, disk, groups);
	return 0;
#endif
}

/* Give it back, whether it was shown (and del_gendisk() called) or not. */
static inline void fsw_disk_put(struct gendisk *disk)
{
#if !defined(FSW_HAVE_DISK_LIMITS) && !defined(FSW_HAVE_BLK_ALLOC_DISK)
	blk_cleanup_queue(disk->queue);
#endif
	put_disk(disk);
}

#endif
