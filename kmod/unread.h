/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pages whose read failed and that may be in the kernel's swap cache, before 5.19. There such a page stays in the cache without its bytes; a fault
 * sees that, but swapoff maps it as it is and tells nobody. So a read fails only while no swapoff can be under way, and no swapoff begins while
 * there is such a page: swapoff opens the disk first, and keeps it open.
 */
#ifndef FSW_UNREAD_H
#define FSW_UNREAD_H

#include <linux/types.h>

struct bio;

#ifdef FSW_HAVE_SWAPIN_ERROR
struct fsw_unread {};

static inline bool fsw_unread_reads_cache(struct bio *bio) { return false; }
static inline int fsw_unread_init(struct fsw_unread *unread, u64 slots) { return 0; }
static inline void fsw_unread_free(struct fsw_unread *unread) {}
static inline unsigned long fsw_unread_open(struct fsw_unread *unread) { return 0; }
static inline void fsw_unread_release(struct fsw_unread *unread) {}
static inline bool fsw_unread_add(struct fsw_unread *unread, u64 slot) { return true; }
static inline void fsw_unread_gone(struct fsw_unread *unread, u64 slot) {}
#else
#include <linux/bio.h>
#include <linux/page-flags.h>
#include <linux/spinlock.h>

/* Does it read into a page of the swap cache? */
static inline bool fsw_unread_reads_cache(struct bio *bio)
{
	return PageSwapCache(bio_page(bio));
}

struct fsw_unread {
	spinlock_t lock;		/* all of it; taken with interrupts off */
	unsigned long *slots;		/* a bit for each whose last read failed */
	unsigned long nr;		/* of them */
	unsigned int opens;		/* of the disk */
};

/* Process context. 0 or -ENOMEM */
int fsw_unread_init(struct fsw_unread *unread, u64 slots);
void fsw_unread_free(struct fsw_unread *unread);

/* The disk is being opened: 0, or how many slots' pages are against that. Each 0 is followed by a release. */
unsigned long fsw_unread_open(struct fsw_unread *unread);
void fsw_unread_release(struct fsw_unread *unread);

/* A read into the swap cache is to end with an error. False: it must not, as somebody beside swapon has the disk open. Any context. */
bool fsw_unread_add(struct fsw_unread *unread, u64 slot);
/* The slot was read, or freed: a page that lacks its bytes is in the cache no more. Any context. */
void fsw_unread_gone(struct fsw_unread *unread, u64 slot);
#endif

#endif
