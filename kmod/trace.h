/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints, under events/farswap/ in tracefs. In user space (tests/unit) os_user.h defines them away and this file
 * is empty.
 */
#ifdef __KERNEL__

#undef TRACE_SYSTEM
#define TRACE_SYSTEM farswap

#if !defined(FSW_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define FSW_TRACE_H

#include <linux/string.h>
#include <linux/tracepoint.h>

/* a page was taken out, or refused */
TRACE_EVENT(farswap_store,
	TP_PROTO(u64 slot, int status),
	TP_ARGS(slot, status),
	TP_STRUCT__entry(
		__field(u64, slot)
		__field(int, status)
	),
	TP_fast_assign(
		__entry->slot = slot;
		__entry->status = status;
	),
	TP_printk("slot=%llu status=%d", __entry->slot, __entry->status)
);

/* a page was brought back, from entering the module to verified */
TRACE_EVENT(farswap_load,
	TP_PROTO(u64 slot, u64 ns, int status),
	TP_ARGS(slot, ns, status),
	TP_STRUCT__entry(
		__field(u64, slot)
		__field(u64, ns)
		__field(int, status)
	),
	TP_fast_assign(
		__entry->slot = slot;
		__entry->ns = ns;
		__entry->status = status;
	),
	TP_printk("slot=%llu ns=%llu status=%d", __entry->slot, __entry->ns, __entry->status)
);

/* a window is sent */
TRACE_EVENT(farswap_window,
	TP_PROTO(unsigned int pages, unsigned int runs, unsigned int chains),
	TP_ARGS(pages, runs, chains),
	TP_STRUCT__entry(
		__field(unsigned int, pages)
		__field(unsigned int, runs)
		__field(unsigned int, chains)
	),
	TP_fast_assign(
		__entry->pages = pages;
		__entry->runs = runs;
		__entry->chains = chains;
	),
	TP_printk("pages=%u runs=%u chains=%u", __entry->pages, __entry->runs, __entry->chains)
);

/* pages were read ahead: wanted from slot on, one each stride */
TRACE_EVENT(farswap_ahead,
	TP_PROTO(u64 slot, int stride, unsigned int pages, unsigned int wrs),
	TP_ARGS(slot, stride, pages, wrs),
	TP_STRUCT__entry(
		__field(u64, slot)
		__field(int, stride)
		__field(unsigned int, pages)
		__field(unsigned int, wrs)
	),
	TP_fast_assign(
		__entry->slot = slot;
		__entry->stride = stride;
		__entry->pages = pages;
		__entry->wrs = wrs;
	),
	TP_printk("slot=%llu stride=%d pages=%u wrs=%u", __entry->slot, __entry->stride, __entry->pages, __entry->wrs)
);

/* a window's WRITEs to one peer ended */
TRACE_EVENT(farswap_chain_done,
	TP_PROTO(u32 node, u64 ns, int status),
	TP_ARGS(node, ns, status),
	TP_STRUCT__entry(
		__field(u32, node)
		__field(u64, ns)
		__field(int, status)
	),
	TP_fast_assign(
		__entry->node = node;
		__entry->ns = ns;
		__entry->status = status;
	),
	TP_printk("node=%u ns=%llu status=%d", __entry->node, __entry->ns, __entry->status)
);

/* a peer's state changed */
TRACE_EVENT(farswap_peer,
	TP_PROTO(u32 node, unsigned int state, const char *why),
	TP_ARGS(node, state, why),
	TP_STRUCT__entry(
		__field(u32, node)
		__field(unsigned int, state)
		__array(char, why, 64)
	),
	TP_fast_assign(
		__entry->node = node;
		__entry->state = state;
		strscpy(__entry->why, why, 64);
	),
	TP_printk("node=%u state=%u why=%s", __entry->node, __entry->state, __entry->why)
);

#endif

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>

#endif
