// SPDX-License-Identifier: GPL-2.0
#include "cluster.h"

struct device device;
struct farswapd farswapd;
struct cluster cluster = { .unique = 100 };

uint32_t cluster_draw(uint32_t below)
{
	cluster.seed = cluster.seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(cluster.seed >> 33) % below;
}

bool cluster_chance(uint32_t in)
{
	return cluster.faults && !cluster_draw(in);
}

/* --- what the daemon is linked with --- */

uint64_t __wrap_farswap_now_ns(void);
uint64_t __wrap_farswap_now_ns(void)
{
	return cluster.now;
}

void device_kick(void)
{
	cluster.kicked = true;
}

void device_enter(enum device_phase phase)
{
	device.phase = phase;
	cluster.kicked = true;
}

void device_explain(char *out, size_t size)
{
	snprintf(out, size, "why");
}

void device_undo(const char *format, ...)
{
	fail_msg("undone: %s", format);
}

unsigned int device_extents_needed(void)
{
	return EXTENTS;
}

struct nl_msg *device_msg(int cmd, int dump)
{
	return farswap_nl_new(cmd, dump);
}

int farswapd_timer(sd_event_source **source, uint64_t usec, sd_event_time_handler_t handler, void *arg)
{
	(void)source;
	(void)usec;
	(void)handler;
	(void)arg;
	return 0;
}

static void say(const char *format, va_list args)
{
	if (!getenv("VERBOSE"))
		return;
	printf("%8llu ms: ", (unsigned long long)(cluster.now / MS - 1000000));
	vprintf(format, args);
	printf("\n");
}

void farswap_log(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
}

void farswap_log_limited(struct farswap_log_limit *limit, const char *format, ...)
{
	va_list args;

	(void)limit;
	va_start(args, format);
	say(format, args);
	va_end(args);
}

void kernel_listen(void)
{
}

struct link *link_of(const struct farswap_node *node)
{
	return &cluster.links[node - farswapd.conf.nodes];
}

bool members_settled(void)
{
	return true;
}

void leader_bar(struct placement_node *nodes, size_t n)
{
	(void)nodes;
	(void)n;
}

/* no node is removed here */
void link_stop(struct link *link)
{
	(void)link;
	abort();
}

uint64_t link_silent_ns(const struct link *link)
{
	(void)link;
	return 0;
}

bool link_is_well(const struct link *link)
{
	return link->state == LINK_READY;
}

/* --- the world goes on --- */

/* would every page still have a live right copy without that donor? */
static bool can_do_without(int node)
{
	unsigned int e, m, f;

	for (e = 0; e < cluster.n_kextents; e++) {
		for (f = 0; f < FRAMES; f++) {
			if (!cluster.kextents[e].data[f])
				continue;
			for (m = 0; m < cluster.kextents[e].n; m++)
				if (cluster_has_right(&cluster.kextents[e], m, f) && cluster.slabs[cluster.kextents[e].members[m].slab].node != node)
					break;
			if (m == cluster.kextents[e].n)
				return false;
		}
	}
	return true;
}

void cluster_drain(int node, bool on)
{
	cluster.links[node].drained = on;
	device.unsettled = true;
	cluster.kicked = true;
}

void cluster_short(int node, bool on)
{
	unsigned int s;

	cluster.links[node].is_short = on;
	for (s = 0; s < cluster.n_slabs; s++)
		if (cluster.slabs[s].node == node)
			cluster.slabs[s].asked = cluster.slabs[s].urgent = false;
}

void cluster_end_daemon(int node)
{
	unsigned int i;

	cluster_drain(node, false);
	cluster_short(node, false);
	cluster.donors[node].up = false;
	cluster_end_session(node, false);
	for (i = 0; i < 64; i++)
		cluster.pushes[i].there &= cluster.pushes[i].node != node;
	cluster_break_link(node, true);
}

static void connect_link(unsigned int node)
{
	cluster.links[node].state = LINK_READY;
	cluster.links[node].incarnation = cluster.donors[node].incarnation;
	cluster.kicked = true;
}

void cluster_begin_daemon(int node)
{
	cluster.donors[node].up = true;
	cluster.donors[node].incarnation = ++cluster.unique;
	connect_link((unsigned int)node);
}

void cluster_restart_daemon(int node)
{
	unsigned int i;

	cluster_break_link(node, true);
	for (i = 0; i < 64; i++) {
		if (cluster.kpeers[i].node == node)
			cluster.kpeers[i].live = false;
		cluster.pushes[i].there &= cluster.pushes[i].node != node && cluster.slabs[cluster.pushes[i].to].node != node;
	}
	for (i = 0; i < cluster.n_slabs; i++)
		if (cluster.slabs[i].node == node)
			cluster.slabs[i].rkey = (uint32_t)++cluster.unique;
}

void cluster_cut_off(int node)
{
	unsigned int k;

	cluster_break_link(node, true);
	for (k = 0; k < 64; k++)
		if (cluster.kpeers[k].node == node)
			cluster.kpeers[k].live = false;
}

void cluster_set_back(int node)
{
	unsigned int s;

	cluster_cut_off(node);
	for (s = cluster.n_slabs; s-- > 0;) {
		if (!cluster.slabs[s].there || cluster.slabs[s].node != node)
			continue;
		cluster.slabs[s].there = false;
		return;
	}
}

static void restart_manager(void)
{
	int node;

	while (cluster.n_calls)
		cluster_run_call();
	for (node = 1; node < cluster.nodes; node++)
		cluster_break_link(node, false);
	cluster.n_requests = 0;
	extent_table_free(&device.table);
	repair_reset();
	memset(&device, 0, sizeof(device));
	adopt_start();
}

/* that take no more slabs */
static unsigned int drained(void)
{
	unsigned int node, n = 0;

	for (node = 1; node < cluster.nodes; node++)
		n += cluster.links[node].drained || cluster.links[node].is_short;
	return n;
}

static void trouble(void)
{
	int node = 1 + (int)cluster_draw(cluster.nodes - 1), i;

	switch (cluster_draw(12)) {
	case 0:
		if (cluster.donors[node].up && can_do_without(node))
			cluster_end_daemon(node);
		break;
	case 1:
	case 2:
	case 3:
		cluster_break_link(node, true);
		break;
	case 4:
	case 5:
		if (!can_do_without(node))
			break;
		for (i = 0; i < 64; i++)	/* its queue pairs break */
			if (cluster.kpeers[i].node == node)
				cluster.kpeers[i].live = false;
		break;
	case 6:
		if (cluster.n_kextents == EXTENTS && device.phase == PHASE_UP)
			restart_manager();
		break;
	case 7:
		if (cluster.donors[node].up && can_do_without(node))
			cluster_restart_daemon(node);
		break;
	case 8:
		if (cluster.donors[node].up && can_do_without(node))
			cluster_set_back(node);
		break;
	case 10:
		cluster_short(node, !cluster.links[node].is_short && drained() < cluster.nodes - 1 - COPIES);
		break;
	case 9:
		cluster_drain(node, !cluster.links[node].drained && drained() < cluster.nodes - 1 - COPIES);
		break;
	default:
		for (i = 0; i < 64; i++)	/* late WRITEs land */
			if (cluster.pushes[i].there)
				cluster_run_push(&cluster.pushes[i]);
	}
}

/* its kernel has queue pairs to it */
static bool is_held(unsigned int node)
{
	unsigned int i;

	for (i = 0; i < 64; i++)
		if (cluster.kpeers[i].there && cluster.kpeers[i].live && !cluster.kpeers[i].dead && cluster.kpeers[i].session == cluster.donors[node].session)
			return true;
	return false;
}

/* a session that the client has forgotten, or cannot reach, ends with its lease */
static void lease_look(unsigned int node)
{
	if (!cluster.donors[node].session || is_held(node))
		cluster.donors[node].renewed = cluster.now;
	else if (cluster.now > cluster.donors[node].renewed + LEASE)
		cluster_end_session((int)node, false);
}

void cluster_turn(void)
{
	unsigned int node, e;

	cluster.now += cluster_draw(30) * MS;
	if (cluster_chance(40))
		trouble();
	for (node = 1; node < cluster.nodes; node++) {
		if (!cluster.donors[node].up && !cluster_draw(cluster.faults ? 400 : 5)) {
			cluster.donors[node].up = true;
			cluster.donors[node].incarnation = ++cluster.unique;
		}
		if (cluster.donors[node].up && cluster.links[node].state != LINK_READY && !cluster_draw(cluster.faults ? 100 : 5))
			connect_link(node);
		lease_look(node);
		cluster.links[node].lent = cluster_slabs_at((int)node);
		cluster.links[node].room = cluster.links[node].lent < OFFERED ? OFFERED - cluster.links[node].lent : 0;
	}
	for (e = 0; e < cluster.n_kextents; e++) {
		if (!cluster_draw(10))
			cluster_store(&cluster.kextents[e]);
		if (!cluster_draw(20))
			cluster_mend(&cluster.kextents[e]);
	}
	if (cluster.n_calls && cluster_draw(2))
		cluster_run_call();
	if (cluster.n_requests && cluster_draw(2))
		cluster_run_request();
	if (!cluster_draw(30)) {
		if (device.phase == PHASE_UP)
			upkeep_poll();
		else if (!device.in_air)
			adopt_start();
		cluster.kicked = true;
	}
	if (cluster.kicked && device.phase == PHASE_UP) {
		cluster.kicked = false;
		upkeep_advance();
	}
}

void cluster_pass(int cut, unsigned int ms)
{
	uint64_t end = cluster.now + ms * MS;

	while (cluster.now < end) {
		cluster.links[cut].state = LINK_BROKEN;
		cluster.now += 20 * MS;
		if (cluster.n_calls)
			cluster_run_call();
		if (cluster.n_requests)
			cluster_run_request();
		if (cluster.now / (1000 * MS) != (cluster.now - 20 * MS) / (1000 * MS))
			upkeep_poll();
		upkeep_advance();
	}
}

static void begin(uint64_t s, int nodes)
{
	static char dir[] = "/tmp/farswap-repair.XXXXXX";
	static bool made;
	int i;

	if (!made)
		check(mkdtemp(dir));
	made = true;
	cluster.first_seed = cluster.seed = s;
	memset(&device, 0, sizeof(device));
	memset(cluster.slabs, 0, sizeof(cluster.slabs));
	memset(cluster.kpeers, 0, sizeof(cluster.kpeers));
	memset(cluster.kextents, 0, sizeof(cluster.kextents));
	memset(cluster.pushes, 0, sizeof(cluster.pushes));
	memset(cluster.donors, 0, sizeof(cluster.donors));
	cluster.n_slabs = cluster.n_kextents = cluster.n_calls = cluster.n_requests = 0;
	cluster.hurry = false;
	cluster.now = 1000000 * MS;
	farswapd.run_dir = dir;
	farswapd.conf.slab_bytes = 2 << 20;
	farswapd.conf.replace_after_s = 5;
	farswapd.conf.port = 7474;
	farswapd.conf.rebalance = false;
	cluster.nodes = nodes;
	farswapd.conf.n_nodes = (unsigned int)nodes;
	farswapd.self = &farswapd.conf.nodes[0];
	for (i = 0; i < cluster.nodes; i++) {
		snprintf(farswapd.conf.nodes[i].name, sizeof(farswapd.conf.nodes[i].name), "n%d", i);
		farswapd.conf.nodes[i].lend = i ? 100 : 0;
		farswap_addr_parse("10.0.0.1", 7474, &farswapd.conf.nodes[i].addr);
		cluster.links[i] = (struct link) { .node = &farswapd.conf.nodes[i], .state = LINK_BROKEN };
	}
	farswap_name_copy(device.name, "farswap0");
	device.slab_bytes = 2 << 20;
	device.size = EXTENTS * device.slab_bytes;
	device.copies = COPIES;
	device.queues = 2;
	device.next_peer = device.next_extent = 1;
	device.phase = PHASE_UP;
	device.in_kernel = true;
	check(!adopt_remember(device.name));
}

void cluster_begin(uint64_t s)
{
	begin(s, NODES);
}

void cluster_begin_large(uint64_t s)
{
	begin(s, NODES_MAX);
}

void cluster_end(void)
{
	while (cluster.n_calls)
		cluster_run_call();
	extent_table_free(&device.table);
	repair_reset();
	adopt_forget();
}

static bool all_whole(void)
{
	unsigned int e, m, f;

	for (e = 0; e < cluster.n_kextents; e++) {
		if (cluster.kextents[e].sealed || cluster.kextents[e].n != COPIES)
			return false;
		for (m = 0; m < cluster.kextents[e].n; m++) {
			if (!cluster_is_live(cluster.kextents[e].members[m].peer))
				return false;
			for (f = 0; f < FRAMES; f++)
				if (cluster.kextents[e].data[f] && !cluster_has_right(&cluster.kextents[e], m, f))
					return false;
		}
	}
	return cluster.n_kextents == EXTENTS;
}

/* for whoever has to find out why */
static void show(void)
{
	static const char * const states[] = { "free", "opening", "rejoining", "waiting", "tokens", "adding", "live", "suspect",
		"former", "lost", "failed" };
	const struct device_peer *peer;
	const struct repair_job *job;
	unsigned int e, m, f;

	for (e = 0; e < cluster.n_kextents; e++) {
		printf("extent %llu generation %u%s:", (unsigned long long)cluster.kextents[e].number, cluster.kextents[e].generation,
		       cluster.kextents[e].sealed ? " sealed" : "");
		for (m = 0; m < cluster.kextents[e].n; m++) {
			printf(" peer %u%s slab %u%s ", cluster.kextents[e].members[m].peer, cluster_is_live(cluster.kextents[e].members[m].peer) ? " live" : "",
			       cluster.kextents[e].members[m].slab + 1, cluster.slabs[cluster.kextents[e].members[m].slab].there ? "" : " gone");
			for (f = 0; f < FRAMES; f++)
				printf("%c", !cluster.kextents[e].data[f] ? '-' : cluster_has_right(&cluster.kextents[e], m, f) ? '+' : 'x');
		}
		printf("\n");
	}
	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (peer->state)
			printf("peer %u %s %s%s%s%s\n", peer->number, peer->link->node->name, states[peer->state],
			       peer->in_kernel ? " in the kernel" : "", peer->closed ? " closed" : "", peer->in_air ? " asked" : "");
	for (job = device.repair.jobs; job < device.repair.jobs + REPAIR_JOBS; job++)
		printf("extent %llu: repair step %d, waiting %d\n", (unsigned long long)job->extent, job->step, job->waiting);
	printf("phase %d, stale %d, unsettled %d: %s\n", device.phase, device.stale, device.unsettled, device.repair.why);
}

unsigned int cluster_slabs_at(int node)
{
	unsigned int s, n = 0;

	for (s = 0; s < cluster.n_slabs; s++)
		n += cluster.slabs[s].there && cluster.slabs[s].node == node;
	return n;
}

unsigned int cluster_slabs_there(void)
{
	unsigned int n = 0;
	int node;

	for (node = 1; node < cluster.nodes; node++)
		n += cluster_slabs_at(node);
	return n;
}

static unsigned int slabs_at_drained(void)
{
	unsigned int n = 0;
	int node;

	for (node = 1; node < cluster.nodes; node++)
		n += cluster.links[node].drained ? cluster_slabs_at(node) : 0;
	return n;
}

static unsigned int dead_peers(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < 64; i++)
		n += cluster.kpeers[i].there && (!cluster.kpeers[i].live || cluster.kpeers[i].dead);
	return n;
}

static unsigned int forgotten(void)
{
	unsigned int node, n = 0;

	for (node = 1; node < cluster.nodes; node++)
		n += cluster.donors[node].session && !is_held(node);
	return n;
}

void cluster_settle(void)
{
	unsigned int turns, e, m, k;
	bool used[NODES_MAX];

	cluster.faults = false;
	for (turns = 0; turns < 60000 && !(all_whole() && !dead_peers() && !forgotten() && !slabs_at_drained() && turns > 3000); turns++)
		cluster_turn();
	if (!all_whole() || dead_peers() || forgotten() || slabs_at_drained())
		show();
	check(all_whole());
	check(!dead_peers());
	check(!forgotten());
	check(!slabs_at_drained());
	for (e = 0; e < cluster.n_kextents; e++) {
		memset(used, 0, sizeof(used));
		for (m = 0; m < cluster.kextents[e].n; m++) {
			k = (unsigned int)cluster.slabs[cluster.kextents[e].members[m].slab].node;
			check(!used[k]);
			used[k] = true;
		}
	}
}

int cluster_remove_dir(void **state)
{
	(void)state;
	return rmdir(farswapd.run_dir);
}
