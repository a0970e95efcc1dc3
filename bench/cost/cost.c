// SPDX-License-Identifier: GPL-2.0
/*
 * cost EXTENTS DONORS GIB SLAB_MIB: the core in user space (the module's own files), with a transport that answers at once, for callgrind to
 * count what a page costs: one dump for each phase, named after it.
 *
 *   store   PAGES pages to slots that were empty, in order
 *   seq     the same brought back in order, read ahead
 *   random  the same shuffled, each with a READ of its own
 *   churn   each rewritten, shuffled
 *   free    each freed
 *   packed  the pages stored anew, compressed with lz4 into an eighth of a frame
 *   unpack  and brought back shuffled
 *
 * Before that the extents but for the last few are taken into use. It exits 1 if a page is refused, or is not what was stored.
 *
 * What is not the core's own is not of interest, and run leaves it out: this file's functions (all are called cost_...), libraries, checksums.
 */
#include <stdio.h>
#include <valgrind/callgrind.h>
#include "core_int.h"

#define PAGES	8192			/* slots of each phase: sixteen clusters */
#define READS	64			/* at once */
#define FAR	(1u << 18)		/* pages that all donors keep, at most half of it */

int world_cpu, world_locks, world_rcu, world_rcu_outside;
bool world_worker, world_reclaim;
u64 world_ns;

/* ---- donors: a page by its address, whatever the address is ---- */

static struct far_page {
	u64 address;			/* 0: none */
	char *bytes;
} far[FAR];
static unsigned int nr_far;

static void cost_die(const char *what)
{
	fprintf(stderr, "cost: %s\n", what);
	exit(1);
}

static char *cost_far(u64 remote)
{
	u64 address = remote / FSW_PAGE;
	unsigned int i = address * 0x9e3779b97f4a7c15ull >> 40;

	while (far[i % FAR].address && far[i % FAR].address != address)
		i++;
	if (!far[i % FAR].address) {
		if (++nr_far > FAR / 2)
			cost_die("more pages than its donors keep");
		far[i % FAR].address = address;
		far[i % FAR].bytes = malloc(FSW_PAGE);
	}
	return far[i % FAR].bytes + remote % FSW_PAGE;
}

/* ---- the transport ---- */

static struct cost_read {
	struct fsw_read read;
	bool taken;
} reads[READS];

static int cost_buffer_get(void *transport, struct fsw_buffer *buffer, size_t bytes)
{
	(void)transport;
	buffer->va = calloc(1, bytes);
	buffer->bytes = bytes;
	return buffer->va ? 0 : -ENOMEM;
}

static void cost_buffer_put(void *transport, struct fsw_buffer *buffer)
{
	(void)transport;
	free(buffer->va);
}

static void cost_move(const struct fsw_buffer *buf, const struct fsw_piece *pieces, unsigned int nr, bool in)
{
	unsigned int i;
	u32 done, part;

	if (!nr)
		cost_die("a chain of nothing");
	for (i = 0; i < nr; i++)
		for (done = 0; done < pieces[i].bytes; done += part) {
			u64 remote = pieces[i].remote + done;
			char *near = (char *)buf->va + pieces[i].offset + done;

			part = min_t(u32, pieces[i].bytes - done, FSW_PAGE - remote % FSW_PAGE);
			memcpy(in ? near : cost_far(remote), in ? cost_far(remote) : near, part);
		}
}

static void cost_write(void *transport, struct fsw_chain *chain, const struct fsw_buffer *buf, const struct fsw_piece *pieces,
		       unsigned int nr)
{
	(void)transport;
	cost_move(buf, pieces, nr, false);
	fsw_chain_done(chain, 0);
}

static void cost_fetch(void *transport, struct fsw_chain *chain, const struct fsw_buffer *buf, const struct fsw_piece *pieces,
		       unsigned int nr)
{
	(void)transport;
	cost_move(buf, pieces, nr, true);
	fsw_chain_done(chain, 0);
}

static struct fsw_read *cost_read_get(void *transport, bool urgent)
{
	unsigned int i;

	(void)transport;
	(void)urgent;
	for (i = 0; i < READS; i++)
		if (!reads[i].taken) {
			reads[i].taken = true;
			return &reads[i].read;
		}
	return NULL;
}

static void cost_read_room(void *transport, u64 deadline_ns)
{
	(void)transport;
	world_ns = deadline_ns;
}

static void cost_read_post(void *transport, struct fsw_read *read, struct fsw_peer *peer, u64 remote, u32 rkey, u32 bytes)
{
	(void)transport;
	(void)peer;
	(void)rkey;
	memcpy(read->va, cost_far(remote), bytes);
	read->status = 0;
}

static void cost_read_wait(void *transport, struct fsw_read *const *rs, unsigned int nr, u64 until_ns)
{
	(void)transport;
	(void)rs;
	(void)nr;
	world_ns = until_ns;
}

static void cost_read_put(void *transport, struct fsw_read *read)
{
	(void)transport;
	if (read->pin)
		fsw_read_ended(read);
	container_of(read, struct cost_read, read)->taken = false;
}

static void cost_peer_fail(void *transport, struct fsw_peer *peer, int error, const char *why)
{
	(void)transport;
	(void)peer;
	(void)error;
	cost_die(why);
}

static const struct fsw_transport_ops cost_ops = {
	.buffer_get = cost_buffer_get,
	.buffer_put = cost_buffer_put,
	.write = cost_write,
	.fetch = cost_fetch,
	.read_get = cost_read_get,
	.read_room = cost_read_room,
	.read_post = cost_read_post,
	.read_wait = cost_read_wait,
	.read_put = cost_read_put,
	.peer_fail = cost_peer_fail,
};

/* ---- work: what is queued is run when a phase is through, and whenever somebody waits ---- */

static struct delayed_work *works;

void world_work_init(struct delayed_work *d, void (*fn)(struct work_struct *work))
{
	*d = (struct delayed_work){ .fn = fn, .next = works };
	works = d;
}

/* The clock goes on by ms, and what is due by then is done. */
static void cost_run(unsigned int ms)
{
	struct delayed_work *d;

	world_ns += ms * NSEC_PER_MSEC;
	for (d = works; d; d = d->next)
		if (d->pending && d->due_ns <= world_ns) {
			d->pending = false;
			d->fn(&d->work);
		}
}

void world_wait(u64 until_ns)
{
	(void)until_ns;
	cost_run(1);
}

/* ---- the phases ---- */

static struct fsw_core *core;
static struct fsw_peer *peers;
static u64 slots[PAGES];
static unsigned int order[PAGES];

static unsigned int cost_draw(unsigned int below)
{
	static u64 x = 88172645463325252ull;	/* xorshift64 (Marsaglia 2003) */

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x % below;
}

static void cost_shuffle(void)
{
	unsigned int i, j;

	for (i = 0; i < PAGES; i++) {	/* Fisher-Yates, inside out */
		j = cost_draw(i + 1);
		order[i] = order[j];
		order[j] = i;
	}
}

static u64 page[FSW_PAGE / 8];

static void cost_store(u64 slot, u64 round)
{
	page[1] = slot;
	page[2] = round;
	if (fsw_store(core, slot, page))
		cost_die("a page was refused");
}

static void cost_load(u64 slot, u64 round)
{
	if (fsw_load(core, slot, page) || page[1] != slot || page[2] != round)
		cost_die("a page is not what was stored");
}

/* Everything that was begun comes to its end, and what is counted from here to there is the phase's. */
static void cost_begin(void)
{
	cost_run(1000);
	cost_run(1000);
	CALLGRIND_ZERO_STATS;
}

static void cost_end(const char *phase)
{
	cost_run(10);
	CALLGRIND_DUMP_STATS_AT(phase);
}

static void cost_phases(void)
{
	unsigned int i;

	cost_begin();
	for (i = 0; i < PAGES; i++)
		cost_store(slots[i], 1);
	cost_end("store");
	cost_begin();
	for (i = 0; i < PAGES; i++)
		cost_load(slots[i], 1);
	cost_end("seq");
	cost_shuffle();
	cost_begin();
	for (i = 0; i < PAGES; i++)
		cost_load(slots[order[i]], 1);
	cost_end("random");
	cost_shuffle();
	cost_begin();
	for (i = 0; i < PAGES; i++)
		cost_store(slots[order[i]], 2);
	cost_end("churn");
	for (i = 0; i < PAGES; i++)
		cost_load(slots[i], 2);
	cost_begin();
	for (i = 0; i < PAGES; i++)
		fsw_invalidate(core, slots[i]);
	cost_end("free");
	fsw_codec_set(core, FARSWAP_CODEC_LZ4);
	cost_begin();
	for (i = 0; i < PAGES; i++)
		cost_store(slots[i], 3);
	cost_end("packed");
	cost_shuffle();
	cost_begin();
	for (i = 0; i < PAGES; i++)
		cost_load(slots[order[i]], 3);
	cost_end("unpack");
}

/* As many extents as asked for, each on three donors, one after the other. */
static void cost_extents(unsigned int nr, unsigned int donors, u64 slab_bytes)
{
	struct fsw_member members[3];
	unsigned int i, m, d = 0;

	for (i = 0; i < nr; i++) {
		for (m = 0; m < 3; m++) {
			members[m] = (struct fsw_member){
				.peer = &peers[d % donors],
				.slab = i,
				.remote = ((u64)i * 3 + m + 1) * slab_bytes,
			};
			d++;
		}
		if (fsw_extent_add(core, i + 1, 1, members, 3))
			cost_die("no extent");
	}
}

int main(int argc, char **argv)
{
	static const unsigned int readahead;	/* adaptive */
	unsigned int extents = argc == 5 ? atoi(argv[1]) : 0, donors = extents ? atoi(argv[2]) : 0, i;
	u64 gib = extents ? atoi(argv[3]) : 0, slab_bytes = extents ? (u64)atoi(argv[4]) << 20 : 0, clusters, step;
	struct fsw_params params = {
		.size = gib << 30, .slab_bytes = slab_bytes, .copies = 3, .spares = 2, .window = 32, .staging = 1024, .staging_max = 1024,
		.close_ms = 2, .store_ms = 5000, .hedge_ms = 100, .load_ms = 10000, .seal_ms = 10000, .poll_us = 1, .ahead = 1024,
		.readahead = &readahead,
	};

	if (extents <= PAGES / FSW_CLUSTER || donors < 3 || !gib || !slab_bytes) {
		fprintf(stderr, "usage: cost EXTENTS (17 or more) DONORS (3 or more) GIB SLAB_MIB\n");
		return 2;
	}
	for (i = 0; i < READS; i++)
		reads[i].read.va = calloc(1, FSW_PAGE);
	peers = calloc(donors, sizeof(*peers));
	for (i = 0; i < donors; i++)
		peers[i] = (struct fsw_peer){ .node = i + 1, .state = FARSWAP_PEER_LIVE, .read_ns = 1000 };
	core = fsw_core_new(&params, &cost_ops, NULL);
	if (IS_ERR(core))
		cost_die("no core");
	cost_extents(extents, donors, slab_bytes);

	/* one page in a cluster of its own for all runs but those of the phases' clusters, which are spread over the device */
	clusters = params.size / FSW_PAGE / FSW_CLUSTER;
	step = clusters / (PAGES / FSW_CLUSTER);
	for (i = 0; i < PAGES; i++)
		slots[i] = i / FSW_CLUSTER * step * FSW_CLUSTER + i % FSW_CLUSTER;
	for (i = 0; i + PAGES / FSW_CLUSTER < min((u64)extents * core->extents.runs, clusters * 3 / 4) && i < 12000; i++) {
		u64 cluster = i % (clusters - clusters / step) * clusters / (clusters - clusters / step);

		cost_store((cluster % step ? cluster : cluster + 1) * FSW_CLUSTER + i % FSW_CLUSTER, 1);
		if (i % 16 == 0)
			cost_run(10);
	}
	CALLGRIND_START_INSTRUMENTATION;
	cost_phases();
	CALLGRIND_STOP_INSTRUMENTATION;
	fsw_core_stop(core);
	fsw_core_free(core);
	return 0;
}
