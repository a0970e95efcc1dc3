// SPDX-License-Identifier: GPL-2.0
#include "world.h"

#define OPS_MAX 4096

struct op {			/* one chain or one READ on its way */
	struct fsw_chain *chain;
	bool fetch;		/* the chain is of READs */
	const struct fsw_buffer *buf;
	struct fsw_piece pieces[FSW_WINDOW_MAX];
	unsigned int nr, done;	/* halves of pieces delivered: a page may arrive torn */
	struct read *read;
	struct fsw_peer *peer;
	u64 remote, not_before;
	u32 bytes;
};

struct read {
	struct fsw_read read;
	struct fsw_buffer buf;
	bool taken, put;
};

struct world world;
int world_cpu, world_locks, world_rcu, world_rcu_outside;
bool world_worker, world_reclaim;
u64 world_ns;

static struct op *ops[OPS_MAX];
static struct read reads[WORLD_READS];
static struct delayed_work *works;
static struct slab {
	char *memory;
	unsigned int donor;
	bool released;
} slabs[WORLD_SLABS];
static struct stray {		/* half a piece that was on the wire when its queue pair went to error */
	struct world_peer *peer;
	char *remote;
	u64 not_before;
	u32 bytes;
	struct stray *next;
	char payload[];
} *strays;
static struct world_peer *graves;
static unsigned int nr_slabs, last_node, stepping;
static u64 rng;

u32 world_random(u32 below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	world_trace(below);
	return (rng >> 11) % below;
}

void world_trace(u64 what)
{
	world.trace = (world.trace ^ what) * 0x9e3779b97f4a7c15ull;
	world.trace ^= world.trace >> 32;
}

/* ---- work and time ---- */

void world_work_init(struct delayed_work *d, void (*fn)(struct work_struct *work))
{
	*d = (struct delayed_work){ .fn = fn, .next = works };
	works = d;
}

static bool works_run(void)
{
	struct delayed_work *d;

	for (d = works; d; d = d->next)
		if (d->pending && !d->running && d->due_ns <= world_ns) {
			bool was = world_worker;

			d->pending = false;
			d->running = true;
			world_worker = true;
			world_trace(world_ns);
			d->fn(&d->work);
			world_worker = was;
			d->running = false;
			return true;
		}
	return false;
}

/* ---- operations ---- */

static bool overlap(u64 a, u32 a_bytes, u64 b, u32 b_bytes)
{
	return a < b + b_bytes && b < a + a_bytes;
}

static bool touches(const struct op *op, u64 remote, u32 bytes)
{
	unsigned int i;

	if (op->read)
		return overlap(op->remote, op->bytes, remote, bytes);
	for (i = 0; i < op->nr; i++)
		if (overlap(op->pieces[i].remote, op->pieces[i].bytes, remote, bytes))
			return true;
	return false;
}

/*
 * Rule 3: nobody is given a frame, to write or to read, that a WRITE in flight can touch, nor one to write that a READ can. Mending writes
 * what is read as well: that a READ of the same bytes may see it torn is why it is verified.
 */
static void check_quarantine(u64 remote, u32 bytes, bool write, bool mend)
{
	unsigned int i;

	for (i = 0; i < world.in_flight; i++) {
		bool writes = ops[i]->chain && !ops[i]->fetch, mends = writes && ops[i]->chain->done == fsw_mend_done;

		if (touches(ops[i], remote, bytes))
			assert((mend && !writes) || (mends && !write) || (!write && !writes));
	}
}

/* Nobody is given memory that is none of a slab's, or of one that was let go of. */
static void check_slab(u64 remote, u32 bytes)
{
	unsigned int i;

	for (i = 0; i < nr_slabs; i++)
		if (overlap((uintptr_t)slabs[i].memory, WORLD_SLAB, remote, bytes))
			break;
	assert(i < nr_slabs && !slabs[i].released && remote + bytes <= (uintptr_t)slabs[i].memory + WORLD_SLAB);
}

static void op_add(struct op *op)
{
	op->not_before = world_random(100) < world.late_percent ? world_ns + 3000 * NSEC_PER_MSEC : world_ns;
	assert(world.in_flight < OPS_MAX);
	ops[world.in_flight++] = op;
}

static void read_ended(struct read *r)
{
	assert(r->read.status != FSW_READ_FLYING && r->put);
	if (r->read.pin)
		fsw_read_ended(&r->read);
	r->taken = false;
	world.reads_out--;
}

static void op_end(unsigned int i, int status)
{
	struct op *op = ops[i];

	world_trace(status);
	ops[i] = ops[--world.in_flight];
	if (op->chain) {
		fsw_chain_done(op->chain, status);
	} else {
		smp_store_release(&op->read->read.status, status);
		if (op->read->put)
			read_ended(op->read);
	}
	free(op);
}

/* Half of a piece, or of a READ. */
struct half {
	char *remote, *local;
	u32 bytes;
	bool out;
};

static struct half op_half(const struct op *op, unsigned int n)
{
	const struct fsw_piece *p = op->chain ? &op->pieces[n / 2] : NULL;
	u32 all = p ? p->bytes : op->bytes, from = n & 1 ? all / 2 : 0;

	return (struct half){
		.remote = (char *)(uintptr_t)(p ? p->remote : op->remote) + from,
		.local = (p ? (char *)op->buf->va + p->offset : (char *)op->read->read.va) + from,
		.bytes = n & 1 ? all - all / 2 : all / 2,
		.out = p && !op->fetch,
	};
}

/* the payload is fetched now, not when it was posted */
static void op_deliver(struct op *op)
{
	struct half h = op_half(op, op->done++);

	memcpy(h.out ? h.remote : h.local, h.out ? h.local : h.remote, h.bytes);
	world_trace(op->done << 16 | (u8)*h.remote);
}

static unsigned int op_halves(const struct op *op)
{
	return op->chain ? op->nr * 2 : 2;
}

/* What was sent of a WRITE whose queue pair is gone here: with the bytes of that time, as its buffer is used again. */
static void op_stray(const struct op *op, struct world_peer *peer)
{
	unsigned int n, sent = op->done + world_random(op_halves(op) - op->done + 1);

	for (n = op->done; n < sent; n++) {
		struct half h = op_half(op, n);
		struct stray *stray = malloc(sizeof(*stray) + h.bytes);

		*stray = (struct stray){ .peer = peer, .remote = h.remote, .bytes = h.bytes, .next = strays };
		stray->not_before = world_ns + world_random(1000) * NSEC_PER_MSEC;
		memcpy(stray->payload, h.local, h.bytes);
		strays = stray;
	}
}

/* They land, or with land false are lost: all of the peer's, of those on the memory, or with neither those whose time has come. */
static bool strays_end(const struct world_peer *peer, const char *memory, bool land)
{
	struct stray **at = &strays, *stray;
	bool any = false;

	while ((stray = *at)) {
		if (peer ? stray->peer != peer : memory ? stray->remote < memory || stray->remote >= memory + WORLD_SLAB :
		    stray->not_before > world_ns) {
			at = &stray->next;
			continue;
		}
		*at = stray->next;
		if (land && world_random(4)) {
			memcpy(stray->remote, stray->payload, stray->bytes);
			world.strays++;
		}
		free(stray);
		any = true;
	}
	return any;
}

static bool op_step(unsigned int i)
{
	struct op *op = ops[i];

	if (!fsw_peer_live(op->peer)) {
		struct world_peer *peer = (struct world_peer *)op->peer;

		if (op->done < op_halves(op) && !peer->fenced && world_random(2))
			op_deliver(op);	/* was on the wire already */
		if (op->chain && !op->fetch && !peer->fenced)
			op_stray(op, peer);
		peer->flushed++;
		op_end(i, -ECONNRESET);
		return true;
	}
	if (op->not_before > world_ns)
		return false;
	if (op->done < op_halves(op))
		op_deliver(op);
	else
		op_end(i, 0);
	return true;
}

static bool ops_step(void)
{
	unsigned int start, n;

	if (strays && strays_end(NULL, NULL, true))
		return true;
	if (!world.in_flight)
		return false;
	start = world_random(world.in_flight);
	for (n = 0; n < world.in_flight; n++)
		if (op_step((start + n) % world.in_flight))
			return true;
	return false;
}

static bool anything(void)
{
	return world_random(4) ? ops_step() || works_run() : works_run() || ops_step();
}

void world_step(void)
{
	int rcu = world_rcu;

	if (world_locks || stepping || world_random(8))
		return;
	stepping++;
	world_rcu_outside = rcu;
	world_rcu = 0;
	if (world.other_cpu && !world_random(4)) {
		int was = world_cpu;

		world_cpu = !world_cpu;
		world.other_cpu();
		world_cpu = was;
	} else {
		anything();
	}
	world_rcu = rcu;
	world_rcu_outside = 0;
	stepping--;
}

void world_wait(u64 until_ns)
{
	assert(!world_rcu);
	if (!anything())
		world_ns = min(until_ns, world_ns + (1 + world_random(20)) * NSEC_PER_MSEC);
}

void world_quiet(void)
{
	unsigned int idle = 0, scrub = world.scrub;

	world.scrub = 0;
	while (idle < 400) {	/* parked windows come back every 20 ms: 8 virtual seconds of nothing else */
		if (ops_step()) {
			idle = 0;
			continue;
		}
		works_run();
		world_ns += 20 * NSEC_PER_MSEC;
		idle++;
	}
	world.scrub = scrub;
}

static void peer_new(unsigned int donor)
{
	struct world_peer *peer = calloc(1, sizeof(*peer));

	peer->peer = (struct fsw_peer){ .node = ++last_node, .state = FARSWAP_PEER_LIVE };
	world.peers[donor] = peer;
}

void world_reconnect(unsigned int donor)
{
	struct world_peer *old = world.peers[donor];

	assert(!fsw_peer_live(&old->peer));
	old->fenced = true;
	strays_end(old, NULL, false);
	old->next = graves;
	graves = old;
	peer_new(donor);
}

/* With NULL: all. */
void world_bury(struct fsw_core *core)
{
	struct world_peer **at = &graves, *peer;

	while ((peer = *at)) {
		if (core && fsw_peer_named(core, &peer->peer)) {
			at = &peer->next;
			continue;
		}
		*at = peer->next;
		free(peer);
	}
}

static void peer_lost(struct fsw_peer *peer)
{
	if (!fsw_peer_live(peer))
		return;
	peer->lost_ns = world_ns;
	WRITE_ONCE(peer->state, FARSWAP_PEER_LOST);
}

void world_kill(unsigned int peer)
{
	peer_lost(&world.peers[peer]->peer);
}

/* ---- the transport's calls ---- */

static int buffer_get(void *transport, struct fsw_buffer *buffer, size_t bytes)
{
	(void)transport;
	buffer->va = calloc(1, bytes);
	buffer->bytes = bytes;
	return buffer->va ? 0 : -ENOMEM;
}

static void buffer_put(void *transport, struct fsw_buffer *buffer)
{
	(void)transport;
	free(buffer->va);
	buffer->va = NULL;
}

static void chain_add(struct fsw_chain *chain, const struct fsw_buffer *buf, const struct fsw_piece *pieces, unsigned int nr,
		      bool fetch)
{
	struct op *op = calloc(1, sizeof(*op));
	unsigned int i;

	assert(nr && nr <= FSW_WINDOW_MAX && world_locks == 0);
	for (i = 0; i < nr; i++) {
		check_quarantine(pieces[i].remote, pieces[i].bytes, !fetch, chain->done == fsw_mend_done);
		check_slab(pieces[i].remote, pieces[i].bytes);
		assert(pieces[i].offset + pieces[i].bytes <= buf->bytes);
	}
	op->chain = chain;
	op->fetch = fetch;
	op->buf = buf;
	op->peer = chain->peer;
	op->nr = nr;
	memcpy(op->pieces, pieces, nr * sizeof(*pieces));
	op_add(op);
	if (world_random(100) < world.at_once_percent)
		while (op_step(world.in_flight - 1))
			if (!world.in_flight || ops[world.in_flight - 1] != op)
				break;
}

static void op_write(void *transport, struct fsw_chain *chain, const struct fsw_buffer *buf, const struct fsw_piece *pieces,
		     unsigned int nr)
{
	(void)transport;
	world.chains++;
	world.pieces += nr;
	chain_add(chain, buf, pieces, nr, false);
}

static void op_fetch(void *transport, struct fsw_chain *chain, const struct fsw_buffer *buf, const struct fsw_piece *pieces,
		     unsigned int nr)
{
	(void)transport;
	world.fetches++;
	world.fetch_pieces += nr;
	chain_add(chain, buf, pieces, nr, true);
}

static struct fsw_read *read_get(void *transport, bool urgent)
{
	unsigned int i;

	(void)transport;
	if (!urgent && world.reads_out >= WORLD_READS * 3 / 4)
		return NULL;
	for (i = 0; i < WORLD_READS; i++)
		if (!reads[i].taken) {
			reads[i].taken = true;
			reads[i].put = false;
			reads[i].read.va = reads[i].buf.va;
			world.reads_out++;
			return &reads[i].read;
		}
	return NULL;
}

static void read_room(void *transport, u64 deadline_ns)
{
	(void)transport;
	world_wait(deadline_ns);
}

static void read_post(void *transport, struct fsw_read *read, struct fsw_peer *peer, u64 remote, u32 rkey, u32 bytes)
{
	struct op *op = calloc(1, sizeof(*op));

	(void)transport;
	(void)rkey;
	check_quarantine(remote, bytes, false, false);
	check_slab(remote, bytes);
	world.reads++;
	op->read = container_of(read, struct read, read);
	op->peer = peer;
	op->remote = remote;
	op->bytes = bytes;
	read->status = FSW_READ_FLYING;
	op_add(op);
}

static void read_wait(void *transport, struct fsw_read *const *rs, unsigned int nr, u64 until_ns)
{
	unsigned int i;

	(void)transport;
	while (world_ns < until_ns) {
		for (i = 0; i < nr; i++)
			if (rs[i]->status != FSW_READ_FLYING)
				return;
		world_wait(until_ns);
	}
}

static void read_put(void *transport, struct fsw_read *read)
{
	struct read *r = container_of(read, struct read, read);

	(void)transport;
	r->put = true;
	if (read->status != FSW_READ_FLYING)
		read_ended(r);
}

static void peer_fail(void *transport, struct fsw_peer *peer, int error, const char *why)
{
	(void)transport;
	(void)error;
	(void)why;
	peer_lost(peer);
}

const struct fsw_transport_ops world_ops = {
	.buffer_get = buffer_get,
	.buffer_put = buffer_put,
	.write = op_write,
	.fetch = op_fetch,
	.read_get = read_get,
	.read_room = read_room,
	.read_post = read_post,
	.read_wait = read_wait,
	.read_put = read_put,
	.peer_fail = peer_fail,
};

/* ---- set-up ---- */

void world_start(u64 seed)
{
	unsigned int i;

	rng = seed * 0x9e3779b97f4a7c15ull + 88172645463325252ull;
	memset(&world, 0, sizeof(world));
	works = NULL;
	world_ns = 0;
	world_cpu = 0;
	last_node = 0;
	for (i = 0; i < WORLD_PEERS; i++)
		peer_new(i);
	for (i = 0; i < WORLD_READS; i++) {
		reads[i] = (struct read){ 0 };
		buffer_get(NULL, &reads[i].buf, FSW_PAGE);
	}
}

void world_end(void)
{
	unsigned int i;

	assert(world.in_flight == 0 && world.reads_out == 0);
	for (i = 0; i < WORLD_READS; i++)
		buffer_put(NULL, &reads[i].buf);
	for (i = 0; i < WORLD_PEERS; i++)
		strays_end(world.peers[i], NULL, false);
	assert(!strays);
	while (nr_slabs)
		free(slabs[--nr_slabs].memory);
	for (i = 0; i < WORLD_PEERS; i++)
		free(world.peers[i]);
	world_bury(NULL);
}

void world_stop(struct fsw_core *core)
{
	unsigned int i;

	fsw_core_stop(core);
	for (i = 0; i < WORLD_PEERS; i++)
		world_kill(i);
	world_quiet();
	fsw_core_free(core);
	world_end();
}

struct farswap_counters world_counters(struct fsw_core *core)
{
	struct farswap_counters c;

	fsw_counters(core, &c);
	return c;
}

struct fsw_member world_slab(unsigned int peer)
{
	struct slab *slab = &slabs[nr_slabs];

	assert(nr_slabs < WORLD_SLABS);
	*slab = (struct slab){ .memory = malloc(WORLD_SLAB), .donor = peer };
	memset(slab->memory, 0xa5, WORLD_SLAB);
	return (struct fsw_member){ .peer = &world.peers[peer]->peer, .slab = ++nr_slabs, .remote = (uintptr_t)slab->memory };
}

bool world_slab_there(u64 slab)
{
	return slab <= nr_slabs;
}

unsigned int world_donor(u64 slab)
{
	return slabs[slab - 1].donor;
}

char *world_memory(u64 slab)
{
	return slabs[slab - 1].memory;
}

void world_release(u64 slab)
{
	unsigned int i;

	for (i = 0; i < world.in_flight; i++)
		assert(!touches(ops[i], (uintptr_t)world_memory(slab), WORLD_SLAB));
	strays_end(NULL, world_memory(slab), false);
	memset(world_memory(slab), 0xee, WORLD_SLAB);
	slabs[slab - 1].released = true;
}

int world_extent(struct fsw_core *core, u64 id, const unsigned int *peers, unsigned int nr)
{
	struct fsw_member members[FARSWAP_COPIES_MAX];
	unsigned int i;

	for (i = 0; i < nr; i++)
		members[i] = world_slab(peers[i]);
	return fsw_extent_add(core, id, 1, members, nr);
}

bool world_corrupt(struct fsw_core *core, u64 slot, unsigned int peer)
{
	struct fsw_entry e = fsw_map_get(&core->map, slot);
	const struct fsw_set *set;
	unsigned int m;

	if (fsw_entry_state(e) != FARSWAP_SLOT_STORED)
		return false;
	set = fsw_frame_extent(&core->extents, fsw_entry_index(e))->set;
	for (m = 0; m < set->nr; m++)
		if (set->members[m].peer == &world.peers[peer]->peer) {
			char *p = (char *)(uintptr_t)fsw_entry_remote(&core->extents, &set->members[m], e);

			p[world_random(fsw_entry_length(e))] ^= 1 << world_random(8);
			return true;
		}
	return false;
}
