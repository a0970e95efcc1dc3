// SPDX-License-Identifier: GPL-2.0
#include "device.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "farswapd.h"
#include "log.h"
#include "nodes.h"

#define REACH_NS	12000000000ull
#define POLL_EVERY	SECONDS(1)
#define DELETE_TRIES	5	/* then whoever waits for `up` hears of it */

struct device device;

static sd_event_source *kick, *tick;
static unsigned int delete_tries;
static bool delete_sent;
static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT;

const char *device_phase_text(enum device_phase phase)
{
	static const char * const texts[PHASES] = {
		[PHASE_NONE]		= "none",
		[PHASE_PROBING]		= "probing",
		[PHASE_REACHING]	= "reaching donors",
		[PHASE_MAKING]		= "making",
		[PHASE_PEERING]		= "connecting donors",
		[PHASE_FILLING]		= "getting slabs",
		[PHASE_STARTING]	= "starting",
		[PHASE_UP]		= "up",
		[PHASE_DELETING]	= "going down",
		[PHASE_CLOSING]		= "giving back",
		[PHASE_ADOPTING]	= "adopting",
	};

	return texts[phase];
}

bool device_exists(void)
{
	return device.phase != PHASE_NONE;
}

void device_kick(void)
{
	if (kick)
		sd_event_source_set_enabled(kick, SD_EVENT_ONESHOT);
}

void device_poll_soon(void)
{
	if (device.phase == PHASE_UP)
		upkeep_poll();
}

unsigned int device_extents_needed(void)
{
	return (unsigned int)((device.size + device.slab_bytes - 1) / device.slab_bytes);
}

struct nl_msg *device_msg(int cmd, int dump)
{
	struct nl_msg *msg = farswap_nl_new(cmd, dump);

	if (msg)
		nla_put_string(msg, FARSWAP_A_NAME, device.name);
	return msg;
}

/* the newest record of the node: its last trouble is the one to tell */
static const struct device_peer *newest_peer(const struct link *link)
{
	const struct device_peer *peer, *newest = NULL;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (peer->state != PEER_FREE && peer->link == link && (!newest || peer->number > newest->number))
			newest = peer;
	return newest;
}

void device_explain(char *out, size_t size)
{
	struct farswap_node *node;
	size_t used = 0;

	out[0] = 0;
	for (node = farswapd.conf.nodes; node < farswapd.conf.nodes + farswapd.conf.n_nodes; node++) {
		struct link *link = link_of(node);
		const struct device_peer *peer = newest_peer(link);
		const char *why = "";

		if (!nodes_is_donor(node))
			continue;
		if (link->state != LINK_READY)
			why = link->why[0] ? link->why : "no answer in time";
		else if (link->drained)
			why = farswap_reject_text(FARSWAP_REJECT_DRAINED);
		else if (peer)
			why = peer->why;
		if (!*why)
			continue;
		used += (size_t)snprintf(out + used, size - used, "%s%s: %s", used ? "; " : "", node->name, why);
		if (used >= size)
			return;
	}
}

/* --- the answer to the local request --- */

static void answer(int code, const char *text)
{
	device_done done = device.done;

	device.done = NULL;
	if (done)
		done(device.done_arg, code, text);
}

/* donors that could not be told that their session is over */
static void note_unclosed(char *out, size_t size)
{
	const struct device_peer *peer;
	size_t used = 0;

	out[0] = 0;
	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX && used < size; peer++)
		if (peer->state != PEER_FREE && peer->session && !peer->closed && peer_owns_session(peer))
			used += (size_t)snprintf(out + used, size - used,
						 "%snode %s was not reached: if its farswapd lives, it keeps %u slabs",
						 used ? "; " : "", peer->link->node->name, peer->slabs);
}

static void reset(void)
{
	char text[sizeof(device.failure)];
	int code = device.failure[0] ? 1 : 0;
	device_done done = device.done;
	void *arg = device.done_arg;
	unsigned int i;

	if (code)
		memcpy(text, device.failure, sizeof(text));
	else
		note_unclosed(text, sizeof(text));
	for (i = 0; i < farswapd.conf.n_nodes; i++)
		link_stop(link_of(&farswapd.conf.nodes[i]));
	adopt_forget();
	farswap_log("%s: %s", device.name, *text ? text : "down, all slabs given back");
	extent_table_free(&device.table);
	repair_reset();
	memset(&device, 0, sizeof(device));
	if (done)
		done(arg, code, text);
}

void device_undo(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(device.failure, sizeof(device.failure), format, args);
	va_end(args);
	device_enter(device.in_kernel ? PHASE_DELETING : PHASE_CLOSING);
}

/* --- up --- */

static void on_started(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	(void)answers;
	(void)arg;
	device.in_air--;
	if (error) {
		device_undo("%s does not start: %s", device.name, why);
		return;
	}
	farswap_log("%s: up, %llu bytes, %u copies", device.name, (unsigned long long)device.size, device.copies);
	device_enter(PHASE_UP);
	device_explain(device.notice, sizeof(device.notice));
	answer(0, device.notice);
}

static void start(void)
{
	device.in_air++;
	kernel_call(device_msg(FARSWAP_CMD_DEV_START, 0), on_started, NULL);
}

static void advance_filling(void)
{
	unsigned int needed = device_extents_needed();

	if (build_active())
		return;
	if (device.table.n >= (device.spares < needed ? device.spares : needed))
		device_enter(PHASE_STARTING);
	else
		build_start();
}

static void advance_peering(void)
{
	struct device_peer *peer;
	unsigned int live = peer_count(PEER_LIVE);
	char why[1024];

	peer_next();
	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (peer_busy(peer))
			return;
	if (live >= device.copies) {
		device_enter(PHASE_FILLING);
		return;
	}
	device_explain(why, sizeof(why));
	device_undo("only %u of the %u donors that copies=%u needs can be used: %s", live, device.copies, device.copies, why);
}

static void start_peers(void)
{
	struct link *links[FARSWAP_NODES_MAX];
	unsigned int i, n = 0;

	for (i = 0; i < farswapd.conf.n_nodes; i++) {
		struct link *link = link_of(&farswapd.conf.nodes[i]);

		if (nodes_is_donor(link->node) && link->state == LINK_READY)
			links[n++] = link;
	}
	peer_start_some(links, n);
}

static void on_queues(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	struct nlattr *attrs[FARSWAP_A_MAX + 1];

	(void)arg;
	device.in_air--;
	if (!error && (!answers || farswap_nl_parse(answers->nlh, attrs))) {
		error = -EBADMSG;
		why = "malformed answer of the kernel module";
	}
	if (error) {
		device_undo("%s: %s", device.name, why);
		return;
	}
	device.queues = farswap_nl_u32(attrs, FARSWAP_A_QUEUES);
	if (!device.queues || device.queues > DEVICE_QUEUES_MAX) {
		device_undo("%s: the kernel module wants %u queue pairs per donor: 1 to %u are possible", device.name,
			    device.queues, DEVICE_QUEUES_MAX);
		return;
	}
	device_enter(PHASE_PEERING);
}

static void on_made(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	(void)answers;
	(void)arg;
	device.in_air--;
	if (error) {
		device_undo("%s cannot be made: %s", device.name, why);
		return;
	}
	device.in_kernel = true;
	device.in_air++;
	kernel_call(device_msg(FARSWAP_CMD_DEV_GET, 0), on_queues, NULL);
}

static void make(void)
{
	struct nl_msg *msg = device_msg(FARSWAP_CMD_DEV_NEW, 0);
	int ret = adopt_remember(device.name);

	if (ret) {
		nlmsg_free(msg);
		device_undo("%s: %s cannot be written: %s", device.name, farswapd.run_dir, strerror(-ret));
		return;
	}
	if (msg) {
		nla_put_u64(msg, FARSWAP_A_SIZE, device.size);
		nla_put_u8(msg, FARSWAP_A_COPIES, (uint8_t)device.copies);
		nla_put_u64(msg, FARSWAP_A_SLAB_BYTES, device.slab_bytes);
		nla_put_u32(msg, FARSWAP_A_SPARES, device.spares);
		nla_put_u8(msg, FARSWAP_A_CODEC, (uint8_t)device.codec);
	}
	device.in_air++;
	kernel_call(msg, on_made, NULL);
}

static void advance_reaching(void)
{
	unsigned int i, ready = 0, waiting = 0;
	char why[1024];

	for (i = 0; i < farswapd.conf.n_nodes; i++) {
		struct link *link = link_of(&farswapd.conf.nodes[i]);

		if (!nodes_is_donor(link->node))
			continue;
		ready += link->state == LINK_READY;
		waiting += link->state == LINK_CONNECTING && !link->why[0];
	}
	if (waiting && farswap_now_ns() - device.phase_ns < REACH_NS)
		return;
	if (ready >= device.copies) {
		device_enter(PHASE_PROBING);
		return;
	}
	device_explain(why, sizeof(why));
	device_undo("only %u of the %u donors that copies=%u needs can be reached: %s", ready, device.copies, device.copies,
		    why);
}

static void start_links(void)
{
	unsigned int i;

	for (i = 0; i < farswapd.conf.n_nodes; i++)
		if (nodes_is_donor(&farswapd.conf.nodes[i]) || nodes_used(&farswapd.conf.nodes[i]))
			link_start(link_of(&farswapd.conf.nodes[i]));
}

void device_conf(void)
{
	if (!device_exists() || device.down_asked || device.phase == PHASE_ADOPTING || device.phase == PHASE_DELETING || device.phase == PHASE_CLOSING)
		return;
	start_links();
	device_kick();
}

static void on_probed(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	(void)answers;
	(void)arg;
	device.in_air--;
	if (!error)
		device_undo("%s exists already, brought up by another farswapd of this host: choose another name", device.name);
	else if (error != -EPROTONOSUPPORT && farswap_nl_is_gone(error))
		device_enter(PHASE_MAKING);
	else
		device_undo("%s", why);
}

static void probe(void)
{
	kernel_listen();
	device.in_air++;
	kernel_call(device_msg(FARSWAP_CMD_DEV_GET, 0), on_probed, NULL);
}

/* what can be told without asking anyone */
static bool refuse_early(const char *name, uint64_t size, unsigned int copies, char *why, size_t bytes)
{
	unsigned int i, donors = 0;

	for (i = 0; i < farswapd.conf.n_nodes; i++)
		donors += nodes_is_donor(&farswapd.conf.nodes[i]);
	if (device_exists())
		snprintf(why, bytes, "%s is %s on this node already: one device per node", device.name,
			 device_phase_text(device.phase));
	else if (!farswap_device_name_ok(name))
		snprintf(why, bytes, "'%s' is no device name: a letter, then letters and digits, like farswap0", name);
	else if (!copies || copies > FARSWAP_COPIES_MAX)
		snprintf(why, bytes, "copies=%u is out of range: 1 to %u", copies, FARSWAP_COPIES_MAX);
	else if (size < 1 << 20 || size > DEVICE_BYTES_MAX || size % FARSWAP_FRAME_BYTES)
		snprintf(why, bytes, "size=%llu is out of range: 1M to 1024T, in pages of %u bytes",
			 (unsigned long long)size, FARSWAP_FRAME_BYTES);
	else if (donors < copies)
		snprintf(why, bytes, "copies=%u needs as many donors, and %.300s names only %u other nodes that lend", copies,
			 farswapd.conf.n_etcd ? "etcd" : farswapd.conf.path, donors);
	else
		return false;
	return true;
}

void device_up(const char *name, uint64_t size, unsigned int copies, device_done done, void *arg)
{
	char why[512];

	if (refuse_early(name, size, copies, why, sizeof(why))) {
		done(arg, 1, why);
		return;
	}
	memset(&device, 0, sizeof(device));
	farswap_name_copy(device.name, name);
	device.size = size;
	device.copies = copies;
	device.slab_bytes = farswapd.conf.slab_bytes;
	device.spares = farswapd.conf.spares;
	device.codec = farswapd.conf.codec;
	device.next_peer = 1;
	device.next_extent = 1;
	device.done = done;
	device.done_arg = arg;
	if (getrandom(&device.seed, sizeof(device.seed), 0) != sizeof(device.seed))
		device.seed = farswapd.incarnation;
	device_enter(PHASE_REACHING);
}

/* --- down --- */

/* at the next tick, for as long as it takes: donors may not let go of what the kernel still uses */
static void undo_again(const char *why)
{
	char text[sizeof(device.failure) + 400];

	delete_sent = false;
	farswap_log_limited(&limit, "%s cannot be deleted yet: %s", device.name, why);
	if (++delete_tries != DELETE_TRIES)
		return;
	snprintf(text, sizeof(text), "%s; %s cannot be deleted yet: %s", device.failure, device.name, why);
	answer(1, text);
}

static void on_deleted(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	char text[400];

	(void)answers;
	(void)arg;
	device.in_air--;
	if (!error || farswap_nl_is_gone(error)) {
		device.in_kernel = false;
		device_enter(PHASE_CLOSING);
		return;
	}
	if (device.failure[0]) {
		undo_again(why);
		return;
	}
	if (error == -EBUSY)
		snprintf(text, sizeof(text), "%s is in use: swapoff /dev/%s first", device.name, device.name);
	else
		snprintf(text, sizeof(text), "%s cannot be deleted: %s", device.name, why);
	device.down_asked = false;
	device_enter(PHASE_UP);
	answer(1, text);
}

static void advance_deleting(void)
{
	if (device.in_air || delete_sent)
		return;
	delete_sent = true;
	device.in_air++;
	kernel_call(device_msg(FARSWAP_CMD_DEV_DEL, 0), on_deleted, NULL);
}

static void close_sessions(void)
{
	struct device_peer *peer;

	for (peer = device.peers; peer < device.peers + DEVICE_PEERS_MAX; peer++)
		if (peer->state != PEER_FREE)
			peer_close(peer);
}

static void advance_closing(void)
{
	if (!device.in_air)
		reset();
}

void device_down(const char *name, device_done done, void *arg)
{
	char text[200];

	if (device.phase == PHASE_UP && !strcmp(name, device.name) && !device.done) {
		device.done = done;
		device.done_arg = arg;
		device.down_asked = true;
		device_kick();
		return;
	}
	if (device_exists() && !strcmp(name, device.name))
		snprintf(text, sizeof(text), "%s is busy: %s", device.name, device_phase_text(device.phase));
	else
		snprintf(text, sizeof(text), "%.31s is not up on node %s", name, farswapd.self->name);
	done(arg, 1, text);
}

/* --- the one place where steps are taken --- */

void device_enter(enum device_phase phase)
{
	device.phase = phase;
	device.phase_ns = farswap_now_ns();
	delete_sent = false;
	delete_tries = 0;
	switch (phase) {
	case PHASE_PROBING:
		probe();
		break;
	case PHASE_REACHING:
		start_links();
		break;
	case PHASE_MAKING:
		make();
		break;
	case PHASE_PEERING:
		start_peers();
		break;
	case PHASE_STARTING:
		start();
		break;
	case PHASE_UP:
		start_links();
		break;
	case PHASE_CLOSING:
		close_sessions();
		break;
	case PHASE_ADOPTING:
		adopt_start();
		break;
	default:
		break;
	}
	device_kick();
}

static int on_kick(sd_event_source *source, void *arg)
{
	(void)source;
	(void)arg;
	switch (device.phase) {
	case PHASE_REACHING:
		advance_reaching();
		break;
	case PHASE_PEERING:
		advance_peering();
		break;
	case PHASE_FILLING:
		advance_filling();
		break;
	case PHASE_UP:
		upkeep_advance();
		break;
	case PHASE_DELETING:
		advance_deleting();
		break;
	case PHASE_CLOSING:
		advance_closing();
		break;
	default:
		break;
	}
	return 0;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *arg)
{
	(void)source;
	(void)usec;
	(void)arg;
	if (device.phase == PHASE_UP)
		upkeep_poll();
	else if (device.phase == PHASE_ADOPTING && !device.in_air)
		adopt_start();
	device_kick();
	return farswapd_timer(&tick, POLL_EVERY, on_tick, NULL);
}

int device_init(void)
{
	int ret = sd_event_add_defer(farswapd.loop, &kick, on_kick, NULL);

	if (ret < 0)
		return ret;
	sd_event_source_set_enabled(kick, SD_EVENT_OFF);
	ret = farswapd_timer(&tick, POLL_EVERY, on_tick, NULL);
	if (ret < 0)
		return ret;
	device_enter(PHASE_ADOPTING);
	return 0;
}

void device_exit(void)
{
	kick = sd_event_source_disable_unref(kick);
	tick = sd_event_source_disable_unref(tick);
	extent_table_free(&device.table);
	repair_reset();
}
