// SPDX-License-Identifier: GPL-2.0
/* The status: what the daemon knows, and for a device in the kernel what the kernel says this moment. */
#include "status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "donor.h"
#include "dropped.h"
#include "farswapd.h"
#include "favour.h"
#include "lender.h"
#include "members.h"
#include "rdma.h"
#include "session.h"

struct status_job {
	status_done done;
	void *arg;
	struct json_object *status, *device, *peers;
	uint64_t slabs[DEVICE_PEERS_MAX];	/* members, by position in peers */
	uint64_t extents, degraded, frames, frames_used;
	bool complete;				/* the kernel has told all of them */
};

static const char malformed[] = "malformed answer of the kernel module";

static void put(struct json_object *to, const char *key, struct json_object *value)
{
	json_object_object_add(to, key, value);
}

static void put_u64(struct json_object *to, const char *key, uint64_t value)
{
	put(to, key, json_object_new_uint64(value));
}

static void put_text(struct json_object *to, const char *key, const char *value)
{
	put(to, key, json_object_new_string(value));
}

static void add_client(struct json_object *all, const char *name)
{
	struct json_object *one;
	struct donor_client client;

	if (!*name || !donor_client(name, &client))
		return;
	one = json_object_new_object();
	put_text(one, "name", name);
	put_u64(one, "slabs", client.use.slabs);
	put_u64(one, "client_slabs", client.quota.slabs);
	put_u64(one, "queue_pairs", client.use.queue_pairs);
	put_u64(one, "client_queue_pairs", client.quota.queue_pairs);
	put_u64(one, "requests", client.requests);
	put_u64(one, "client_requests", client.quota.requests);
	put_u64(one, "held", client.held);
	json_object_array_add(all, one);
}

static bool has_earlier(const struct session *session)
{
	struct session *other = NULL;

	while ((other = session_next(other)) != session)
		if (!strcmp(other->client, session->client))
			return true;
	return false;
}

/* nodes that are known, and those of other groups that have something here */
static struct json_object *clients(void)
{
	struct json_object *all = json_object_new_array();
	struct session *session = NULL;
	unsigned int i;

	for (i = 0; i < farswapd.conf.n_nodes; i++)
		add_client(all, farswapd.conf.nodes[i].name);
	while ((session = session_next(session)))
		if (!farswap_conf_node(&farswapd.conf, session->client) && !has_earlier(session))
			add_client(all, session->client);
	return all;
}

static struct json_object *lent(void)
{
	struct json_object *all = json_object_new_object(), *to = json_object_new_array();
	struct session *session = NULL;

	put_u64(all, "limit", farswapd.self->lend);
	put_u64(all, "slabs", slab_count());
	put_u64(all, "bytes", slab_count() * farswapd.conf.slab_bytes);
	put_u64(all, "room", donor_room());
	put(all, "shortage", favour_status());
	put_text(all, "memory", lend_state_name(lender_state()));
	put_u64(all, "asked", lender_asked(false));
	put_u64(all, "urgent", lender_asked(true));
	put_u64(all, "poisoned", slab_poisoned());
	put(all, "drained", json_object_new_boolean(donor_drained()));
	while ((session = session_next(session))) {
		struct json_object *one = json_object_new_object();

		put_text(one, "name", session->client);
		put_u64(one, "session", session->number);
		put_u64(one, "slabs", session->n_slabs);
		put_u64(one, "bytes", session->n_slabs * farswapd.conf.slab_bytes);
		put_u64(one, "queue_pairs", session->n_queues);
		put(one, "control", json_object_new_boolean(session->conn != NULL));
		put_text(one, "state", session->state == SESSION_OPEN ? "open" : "closing");
		json_object_array_add(to, one);
	}
	put(all, "to", to);
	put(all, "clients", clients());
	return all;
}

static struct json_object *dropped(void)
{
	struct json_object *all = json_object_new_object();
	unsigned int cause;
	uint64_t total = 0;

	for (cause = 0; cause < DROPPED_CAUSES; cause++) {
		put_u64(all, dropped_name(cause), dropped_count(cause));
		total += dropped_count(cause);
	}
	put_u64(all, "total", total);
	return all;
}

static struct json_object *rdma_state(void)
{
	struct json_object *all = json_object_new_object();
	int error = rdma_last_error();

	put(all, "listening", json_object_new_boolean(!error));
	put_text(all, "device", rdma_device_name());
	put_text(all, "error", error ? strerror(error) : "");
	put_u64(all, "refused", rdma_refused());
	return all;
}

static struct json_object *own_part(void)
{
	struct json_object *all = json_object_new_object();

	put(all, "ok", json_object_new_boolean(true));
	put_text(all, "node", farswapd.self->name);
	put_text(all, "version", FARSWAP_VERSION);
	put_u64(all, "wire_version", FARSWAP_WIRE_VERSION);
	put_u64(all, "incarnation", farswapd.incarnation);
	put_text(all, "address", farswap_addr_text(&farswapd.self->addr));
	put_u64(all, "port", farswapd.conf.port);
	put_u64(all, "slab_bytes", farswapd.conf.slab_bytes);
	put(all, "rdma", rdma_state());
	put(all, "members", members_status());
	put(all, "lent", lent());
	put(all, "dropped", dropped());
	return all;
}

static const char *node_name(uint32_t number)
{
	const struct device_peer *peer = number ? peer_numbered(number) : NULL;

	return peer ? peer->link->node->name : "";
}

/* the extents at work */
static struct json_object *jobs_state(void)
{
	struct json_object *all = json_object_new_array(), *one;
	const struct repair_job *job;

	for (job = device.repair.jobs; job < device.repair.jobs + REPAIR_JOBS; job++) {
		if (job->step == REPAIR_IDLE)
			continue;
		one = json_object_new_object();
		put_u64(one, "extent", job->extent);
		put_text(one, "step", repair_step_text(job->step));
		put_text(one, "from", node_name(job->source));
		put_text(one, "to", node_name(job->target));
		json_object_array_add(all, one);
	}
	return all;
}

static struct json_object *repair_state(void)
{
	const struct device_repair *repair = &device.repair;
	struct json_object *all = json_object_new_object();
	struct repair_progress progress;

	repair_progress(&progress);
	put_u64(all, "extents", progress.extents);
	put_u64(all, "moves", progress.moves);
	put(all, "at", jobs_state());
	put_u64(all, "bytes_done", repair->bytes);
	put_u64(all, "bytes", repair->bytes + progress.bytes_left);
	put_u64(all, "bytes_per_s", (uint64_t)progress.bytes_per_s);
	if (progress.bytes_per_s >= 1)
		put_u64(all, "seconds_left", (uint64_t)((double)progress.bytes_left / progress.bytes_per_s));
	put_u64(all, "extents_done", repair->extents_done);
	put_u64(all, "moves_done", repair->moves_done);
	put_u64(all, "drops_done", repair->drops_done);
	put_u64(all, "pages_lost", progress.pages_lost);
	put_text(all, "reason", repair->why);
	return all;
}

static void finish(struct status_job *job)
{
	if (job->device && job->complete) {
		put_u64(job->device, "extents", job->extents);
		put_u64(job->device, "extents_degraded", job->degraded);
		put_u64(job->device, "frames", job->frames);
		put_u64(job->device, "frames_used", job->frames_used);
	}
	put(job->status, "device", job->device);
	put(job->status, "peers", job->peers);
	job->done(job->status, job->arg);
	free(job);
}

/* what is not known is left out: no number instead of a wrong one */
static void finish_failed(struct status_job *job, const char *why)
{
	put_text(job->device, "error", why);
	finish(job);
}

/* position in peers, or -1 */
static int find_peer(struct status_job *job, uint32_t number)
{
	size_t i, n = json_object_array_length(job->peers);
	struct json_object *value;

	for (i = 0; i < n; i++)
		if (json_object_object_get_ex(json_object_array_get_idx(job->peers, i), "number", &value) &&
		    json_object_get_uint64(value) == number)
			return i < DEVICE_PEERS_MAX ? (int)i : -1;
	return -1;
}

static int count_extent(struct status_job *job, const struct nlmsghdr *nlh)
{
	struct nlattr *attrs[FARSWAP_A_MAX + 1], *member[FARSWAP_A_MAX + 1], *one;
	unsigned int whole = 0;
	int left, at;

	if (farswap_nl_parse(nlh, attrs) || !attrs[FARSWAP_A_MEMBERS])
		return -EBADMSG;
	job->extents++;
	job->frames += farswap_nl_u32(attrs, FARSWAP_A_FRAMES);
	job->frames_used += farswap_nl_u32(attrs, FARSWAP_A_FRAMES_USED);
	nla_for_each_nested(one, attrs[FARSWAP_A_MEMBERS], left) {
		if (farswap_nl_parse_nested(one, member))
			return -EBADMSG;
		at = find_peer(job, farswap_nl_u32(member, FARSWAP_A_NODE));
		if (at >= 0)
			job->slabs[at]++;
		/* a module that does not say is taken at its word in PEER_GET */
		whole += (!member[FARSWAP_A_MEMBER_LIVE] || farswap_nl_u8(member, FARSWAP_A_MEMBER_LIVE)) &&
			 !farswap_nl_u32(member, FARSWAP_A_MISSED);
	}
	job->degraded += whole < device.copies;
	return 0;
}

/* as far as the manager has seen by now; what moves goes one after the other, at the rate of them all */
static void add_share(struct json_object *peer, const struct repair_progress *progress)
{
	struct repair_share share;

	repair_share((uint32_t)json_object_get_uint64(json_object_object_get(peer, "number")), &share);
	put_u64(peer, "used_bytes", share.used_bytes);
	put_u64(peer, "moving", share.moving);
	put_u64(peer, "moving_bytes", share.moving_bytes);
	if (share.moving && progress->bytes_per_s >= 1) {
		put_u64(peer, "moving_bytes_per_s", (uint64_t)progress->bytes_per_s);
		put_u64(peer, "moving_seconds_left", (uint64_t)((double)share.moving_bytes / progress->bytes_per_s));
	}
}

static void on_extents(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	struct status_job *job = arg;
	struct repair_progress progress;
	size_t i;

	for (; answers && !error; answers = answers->next)
		if (count_extent(job, answers->nlh)) {
			error = -EBADMSG;
			why = malformed;
		}
	if (error) {
		finish_failed(job, why);
		return;
	}
	job->complete = true;
	repair_progress(&progress);
	for (i = 0; i < json_object_array_length(job->peers) && i < DEVICE_PEERS_MAX; i++) {
		struct json_object *one = json_object_array_get_idx(job->peers, i);

		put_u64(one, "slabs", job->slabs[i]);
		put_u64(one, "bytes", job->slabs[i] * device.slab_bytes);
		add_share(one, &progress);
	}
	finish(job);
}

/* of a peer that the kernel lost: what is to become of it */
static const char *peer_state(uint32_t number, unsigned int kernel_state)
{
	const struct device_peer *peer = peer_numbered(number);

	if (kernel_state == FARSWAP_PEER_LOST && peer && peer->state == PEER_SUSPECT)
		return "suspect";
	if (kernel_state == FARSWAP_PEER_LOST && peer && peer->state == PEER_FORMER)
		return "rejoined";
	return farswap_nl_peer_state(kernel_state);
}

static int add_peer(struct status_job *job, const struct nlmsghdr *nlh)
{
	struct json_object *one = json_object_new_object();
	struct nlattr *attrs[FARSWAP_A_MAX + 1];
	struct farswap_node *node;
	struct link *link;

	if (farswap_nl_parse(nlh, attrs)) {
		json_object_put(one);
		return -EBADMSG;
	}
	put_u64(one, "number", farswap_nl_u32(attrs, FARSWAP_A_NODE));
	put_text(one, "name", farswap_nl_string(attrs, FARSWAP_A_PEER_NAME));
	put_text(one, "state", peer_state(farswap_nl_u32(attrs, FARSWAP_A_NODE), farswap_nl_u8(attrs, FARSWAP_A_PEER_STATE)));
	put_text(one, "reason", farswap_nl_string(attrs, FARSWAP_A_REASON));
	put_u64(one, "read_ns", farswap_nl_u64(attrs, FARSWAP_A_READ_NS));
	put_u64(one, "session", farswap_nl_u64(attrs, FARSWAP_A_SESSION));
	node = farswap_conf_node(&farswapd.conf, farswap_nl_string(attrs, FARSWAP_A_PEER_NAME));
	link = node ? link_of(node) : NULL;
	put_text(one, "address", node ? farswap_addr_text(&node->addr) : "");
	put_u64(one, "port", farswapd.conf.port);
	put_text(one, "control", link && link->state == LINK_READY ? "up" : "down");
	put_text(one, "control_reason", link ? link->why : "no node that is known");
	put_u64(one, "room", link ? link->room : 0);
	put_u64(one, "lent", link ? link->lent : 0);
	put(one, "drained", json_object_new_boolean(link && link->drained));
	put_u64(one, "silent_ms", link ? link_silent_ns(link) / 1000000 : 0);
	json_object_array_add(job->peers, one);
	return 0;
}

/* the kernel's order is the newest first or any other */
static int by_number(const void *a, const void *b)
{
	uint64_t x = json_object_get_uint64(json_object_object_get(*(struct json_object *const *)a, "number"));
	uint64_t y = json_object_get_uint64(json_object_object_get(*(struct json_object *const *)b, "number"));

	return x < y ? -1 : x > y;
}

static void on_peers(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	struct status_job *job = arg;

	for (; answers && !error; answers = answers->next)
		if (add_peer(job, answers->nlh)) {
			error = -EBADMSG;
			why = malformed;
		}
	if (error) {
		finish_failed(job, why);
		return;
	}
	json_object_array_sort(job->peers, by_number);
	kernel_call(device_msg(FARSWAP_CMD_EXTENT_GET, 1), on_extents, job);
}

static void add_counters(struct json_object *device_part, struct nlattr *const *attrs)
{
	struct json_object *all = json_object_new_object();
	struct farswap_counters c;

	farswap_nl_counters(attrs, &c);
#define COUNTER(name) put_u64(all, #name, c.name)
	COUNTER(stores);
	COUNTER(loads);
	COUNTER(loads_staged);
	COUNTER(loads_empty);
	COUNTER(loads_ahead);
	COUNTER(frees);
	COUNTER(refused);
	COUNTER(waits);
	COUNTER(load_errors);
	COUNTER(corrupt);
	COUNTER(read_failovers);
	COUNTER(read_hedges);
	COUNTER(windows);
	COUNTER(write_wrs);
	COUNTER(write_chains);
	COUNTER(write_bytes);
	COUNTER(read_wrs);
	COUNTER(read_bytes);
	COUNTER(ahead_pages);
	COUNTER(ahead_used);
	COUNTER(ahead_waits);
	COUNTER(parked);
	COUNTER(held);
	COUNTER(staged);
	COUNTER(degraded);
	COUNTER(filled);
	COUNTER(stored_4096);
	COUNTER(stored_2048);
	COUNTER(stored_1024);
	COUNTER(stored_512);
	COUNTER(frames);
	COUNTER(metadata_bytes);
	COUNTER(compacted);
	COUNTER(mended);
	COUNTER(scrubbed);
	COUNTER(missed);
	COUNTER(load_p50_ns);
	COUNTER(load_p99_ns);
#undef COUNTER
	put(device_part, "counters", all);
}

static void on_device(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	struct status_job *job = arg;
	struct nlattr *attrs[FARSWAP_A_MAX + 1];

	if (error || !answers || farswap_nl_parse(answers->nlh, attrs)) {
		finish_failed(job, error ? why : malformed);
		return;
	}
	put_text(job->device, "kernel_state", farswap_nl_dev_state(farswap_nl_u8(attrs, FARSWAP_A_DEV_STATE)));
	put_u64(job->device, "openers", farswap_nl_u32(attrs, FARSWAP_A_OPENERS));
	put_text(job->device, "codec", farswap_codec_name(farswap_nl_u8(attrs, FARSWAP_A_CODEC)));
	put_u64(job->device, "lanes", farswap_nl_u32(attrs, FARSWAP_A_LANES));
	put_u64(job->device, "want", farswap_nl_u32(attrs, FARSWAP_A_WANT));
	add_counters(job->device, attrs);
	kernel_call(device_msg(FARSWAP_CMD_PEER_GET, 1), on_peers, job);
}

void status_get(status_done done, void *arg)
{
	struct status_job *job = calloc(1, sizeof(*job));

	if (!job) {
		done(NULL, arg);
		return;
	}
	job->done = done;
	job->arg = arg;
	job->status = own_part();
	job->peers = json_object_new_array();
	if (device_exists()) {
		job->device = json_object_new_object();
		put_text(job->device, "name", device.name);
		put_u64(job->device, "size", device.size);
		put_u64(job->device, "copies", device.copies);
		put_u64(job->device, "slab_bytes", device.slab_bytes);
		put_u64(job->device, "spares", device.spares);
		put_text(job->device, "state", device_phase_text(device.phase));
		put_u64(job->device, "extents_needed", device.slab_bytes ? device_extents_needed() : 0);
		put(job->device, "repair", repair_state());
	}
	if (device.in_kernel) {
		kernel_call(device_msg(FARSWAP_CMD_DEV_GET, 0), on_device, job);
		return;
	}
	job->complete = true;	/* there is nothing to ask for */
	finish(job);
}
