/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's primitives as the core uses them; in user space tests/unit/os_user.h gives the same names, so that the core is
 * tested from the same files.
 */
#ifndef FSW_OS_H
#define FSW_OS_H

#ifdef __KERNEL__
#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/seqlock.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include "compat/compat.h"
#include "stall.h"

/* Stay on this CPU, do not sleep. */
static inline void os_cpu_hold(void)
{
	preempt_disable();
}

static inline void os_cpu_release(void)
{
	preempt_enable();
}

static inline bool os_is_worker(void)
{
	return current->flags & PF_WQ_WORKER;
}

static inline bool os_in_reclaim(void)
{
	return current->flags & PF_MEMALLOC;
}
#else
#include "os_user.h"
#endif

#endif
