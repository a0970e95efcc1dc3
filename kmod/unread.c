// SPDX-License-Identifier: GPL-2.0
#include <linux/bitmap.h>
#include <linux/vmalloc.h>
#include "unread.h"

#define SWAPON_OPENS	2	/* a device that is swapped on is open so often: its file, and the claim on it (sys_swapon) */

int fsw_unread_init(struct fsw_unread *unread, u64 slots)
{
	spin_lock_init(&unread->lock);
	unread->slots = vzalloc(BITS_TO_LONGS(slots) * sizeof(long));
	return unread->slots ? 0 : -ENOMEM;
}

void fsw_unread_free(struct fsw_unread *unread)
{
	vfree(unread->slots);
}

unsigned long fsw_unread_open(struct fsw_unread *unread)
{
	unsigned long flags, nr;

	spin_lock_irqsave(&unread->lock, flags);
	nr = unread->nr;
	if (!nr)
		unread->opens++;
	spin_unlock_irqrestore(&unread->lock, flags);
	return nr;
}

void fsw_unread_release(struct fsw_unread *unread)
{
	unsigned long flags;

	spin_lock_irqsave(&unread->lock, flags);
	unread->opens--;
	spin_unlock_irqrestore(&unread->lock, flags);
}

bool fsw_unread_add(struct fsw_unread *unread, u64 slot)
{
	unsigned long flags;
	bool may;

	spin_lock_irqsave(&unread->lock, flags);
	may = unread->opens <= SWAPON_OPENS;
	if (may && !__test_and_set_bit(slot, unread->slots))
		unread->nr++;
	spin_unlock_irqrestore(&unread->lock, flags);
	return may;
}

void fsw_unread_gone(struct fsw_unread *unread, u64 slot)
{
	unsigned long flags;

	if (!READ_ONCE(unread->nr))
		return;
	spin_lock_irqsave(&unread->lock, flags);
	if (__test_and_clear_bit(slot, unread->slots))
		unread->nr--;
	spin_unlock_irqrestore(&unread->lock, flags);
}
