// SPDX-License-Identifier: GPL-2.0
#include "repair_int.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "farswapd.h"
#include "log.h"
#include "placement.h"
#include "stall.h"

#define NO_TARGET_NS	5000000000ull
#define TRIES_A_TURN	16	/* extents for which a target is looked for */

static struct device_repair *const r = &device.repair;
static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT;

const char *repair_step_text(enum repair_step step)
{
	static const char * const texts[REPAIR_STEPS] = {
		[REPAIR_IDLE]	= "waiting",
		[REPAIR_GRANT]	= "asking for a slab",
		[REPAIR_RENEW]	= "asking for a slab",
		[REPAIR_LOCATE]	= "asking where slabs are",
		[REPAIR_SEAL]	= "sealing",
		[REPAIR_SUMS]	= "reading sums",
		[REPAIR_PUSH]	= "pushing",
		[REPAIR_CHECK]	= "checking",
		[REPAIR_SET]	= "setting members",
	};

	return texts[step];
}

/* --- the end of a try --- */

/* the one door of success and failure alike */
static void over(void)
{
	if (r->copy.peer)
		leftover_keep(&r->copy);	/* unless the extents, read anew, have it */
	memset(&r->copy, 0, sizeof(r->copy));
	copy_forget();
	r->step = REPAIR_IDLE;
	device.stale = true;
	device_kick();
}

void repair_fail(const char *format, ...)
{
	struct device_extent *extent = extent_numbered(r->extent);
	int n = snprintf(r->why, sizeof(r->why), "extent %" PRIu64 ": ", r->extent);
	va_list args;

	va_start(args, format);
	vsnprintf(r->why + n, sizeof(r->why) - (size_t)n, format, args);
	va_end(args);
	farswap_log_limited(&limit, "%s: %s", device.name, r->why);
	if (extent)
		extent->retry_ns = farswap_now_ns() + REPAIR_RETRY_NS;
	over();
}

const char *repair_refusal(const struct link *link, const union farswap_msg *answer, char *text, size_t size)
{
	if (!answer)
		return link->why[0] ? link->why : "control connection lost";
	if (le16toh(answer->head.type) != FARSWAP_MSG_REJECT)
		return "answers something else than it was asked";
	return farswap_reject_say(le16toh(answer->reject.code), le64toh(answer->reject.number), text, size);
}

/* --- requests: at most one is in the air, but for CHECKs --- */

bool repair_ask_about(struct device_peer *peer, union farswap_msg *msg, link_answer answer, void *arg)
{
	if (!link_request(peer->link, msg, answer, arg))
		return false;
	r->waiting++;
	device.in_air++;
	return true;
}

bool repair_ask(struct device_peer *peer, union farswap_msg *msg, link_answer answer)
{
	return repair_ask_about(peer, msg, answer, NULL);
}

void repair_answered(void)
{
	r->waiting--;
	device.in_air--;
	device_kick();
}

void repair_call(struct nl_msg *msg, kernel_done done)
{
	r->waiting++;
	device.in_air++;
	kernel_call(msg, done, NULL);
}

static struct nl_msg *extent_msg(int cmd, uint32_t generation)
{
	struct nl_msg *msg = device_msg(cmd, 0);

	if (msg) {
		nla_put_u64(msg, FARSWAP_A_EXTENT, r->extent);
		nla_put_u32(msg, FARSWAP_A_GENERATION, generation);
	}
	return msg;
}

/* --- what is next --- */

static void view_of(const struct device_extent *extent, struct plan_extent *view)
{
	unsigned int i;

	*view = (struct plan_extent) { .sealed = extent->sealed, .n = extent->n, .retry_ns = extent->retry_ns };
	for (i = 0; i < extent->n; i++)
		view->members[i] = peer_standing(extent->members[i].peer);
}

/* the node has a copy that stays, or a slab that is not given back yet */
static bool is_taken(const struct device_peer *peer)
{
	const struct device_extent *extent = extent_numbered(r->extent);
	const struct device_peer *other;
	unsigned int i;

	for (i = 0; extent && i < extent->n; i++) {
		other = peer_numbered(extent->members[i].peer);
		if (other && other->link == peer->link && peer_standing(other->number) != STANDING_LOST)
			return true;
	}
	return false;
}

/* orphans: how many wait to be given back; there must be a place for one more */
static struct device_peer *choose_target(unsigned int orphans)
{
	struct placement_node nodes[DEVICE_PEERS_MAX];
	struct device_peer *map[DEVICE_PEERS_MAX];
	size_t i, n = build_candidates(nodes, map, is_taken);
	int chosen;

	if (orphans == REPAIR_ORPHANS_MAX)
		return NULL;
	for (i = 0; i < n; i++)
		nodes[i].barred |= leftover_at(map[i]);
	chosen = placement_pick(nodes, n, &device.seed);
	return chosen < 0 ? NULL : map[chosen];
}

static void on_opened(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	(void)answers;
	(void)arg;
	repair_answered();
	if (!error) {
		over();
		return;
	}
	r->open_ns = farswap_now_ns() + REPAIR_RETRY_NS;
	repair_fail("not unsealed: %s", why);
}

/* false: nothing can be done for it by now */
static bool begin(struct device_extent *extent, enum extent_step step, unsigned int orphans)
{
	struct device_peer *target;
	char why[200];

	r->extent = extent->number;
	r->generation = extent->generation;
	r->target = 0;
	r->renewed = !device.adopted;
	r->n_located = 0;
	r->locating = 0;
	if (step == EXTENT_UNSEAL) {
		repair_call(extent_msg(FARSWAP_CMD_EXTENT_OPEN, r->generation), on_opened);
		return true;
	}
	if (step == EXTENT_SUCCEED) {
		r->step = REPAIR_LOCATE;
		return true;
	}
	target = device.slab_bytes == farswapd.conf.slab_bytes ? choose_target(orphans) : NULL;
	if (target) {
		r->target = target->number;
		r->step = REPAIR_GRANT;
		if (!r->begun_ns)
			r->begun_ns = farswap_now_ns();
		return true;
	}
	extent->retry_ns = farswap_now_ns() + NO_TARGET_NS;
	device_explain(why, sizeof(why));
	if (device.slab_bytes != farswapd.conf.slab_bytes)
		snprintf(why, sizeof(why), "slab= in cluster.conf is not the device's");
	snprintf(r->why, sizeof(r->why), "extent %" PRIu64 ": no donor for another copy%s%s", r->extent, *why ? ": " : "", why);
	farswap_log_limited(&limit, "%s: %s", device.name, r->why);
	return false;
}

static void choose(void)
{
	struct device_extent *best;
	struct plan_extent view;
	uint64_t now = farswap_now_ns();
	unsigned int rank, best_rank, tries = 0, orphans = leftover_release();
	bool unsettled;
	size_t i;

	if (!device.unsettled)
		return;
	do {
		best = NULL;
		best_rank = 0;
		unsettled = orphans;
		for (i = 0; i < device.table.n; i++) {
			view_of(&device.table.extents[i], &view);
			unsettled |= plan_extent(&view, device.copies) != EXTENT_FINE;
			rank = view.sealed && now < r->open_ns ? 0 : plan_rank(&view, device.copies, now);
			if (rank > best_rank) {
				best_rank = rank;
				best = &device.table.extents[i];
			}
		}
		device.unsettled = unsettled;
		if (best)
			view_of(best, &view);
	} while (best && !begin(best, plan_extent(&view, device.copies), orphans) && ++tries < TRIES_A_TURN);
	if (unsettled)
		return;
	r->begun_ns = 0;
	r->bytes = 0;
	r->why[0] = 0;
}

/* --- the steps --- */

static void on_granted(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct device_peer *target = peer_numbered(r->target);
	struct device_member member;
	char text[160];

	(void)arg;
	repair_answered();
	if (!answer || le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		if (target)
			build_refused(target, repair_refusal(link, answer, text, sizeof(text)));
		repair_fail("no slab of %s: %s", link->node->name, repair_refusal(link, answer, text, sizeof(text)));
		return;
	}
	if (!target || le64toh(answer->grant.session) != target->session || le64toh(answer->grant.extent) != r->extent ||
	    le64toh(answer->grant.bytes) != device.slab_bytes) {
		repair_fail("%s grants something else than it was asked for", link->node->name);
		return;
	}
	member = build_member(target, &answer->grant);
	r->copy = (struct repair_slab) {
		.peer = member.peer, .slab = member.slab, .incarnation = member.incarnation, .address = member.address,
		.rkey = member.rkey,
	};
	r->alone = true;
	r->step = r->renewed ? REPAIR_SEAL : REPAIR_RENEW;
}

static void grant(struct device_peer *target)
{
	union farswap_msg msg;

	farswap_msg_make(&msg, FARSWAP_MSG_GRANT, 0);
	msg.grant.session = htole64(target->session);
	msg.grant.extent = htole64(r->extent);
	msg.grant.generation = htole32(r->generation + 1);
	if (!repair_ask(target, &msg, on_granted))
		repair_fail("%s cannot be asked for a slab", target->link->node->name);
}

static void on_renewed(struct link *link, const union farswap_msg *answer, void *arg)
{
	char text[160];

	(void)arg;
	repair_answered();
	if (!answer || le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		repair_fail("%s does not take a slab back: %s", link->node->name, repair_refusal(link, answer, text, sizeof(text)));
		return;
	}
	memset(&r->copy, 0, sizeof(r->copy));
	r->renewed = true;
	r->step = REPAIR_GRANT;
}

/* the answer may have been a slab that an earlier daemon was granted, and had pushed to when it ended */
static void renew(struct device_peer *target)
{
	union farswap_msg msg;

	leftover_make_release(&msg, target, r->copy.slab);
	if (!repair_ask(target, &msg, on_renewed))
		repair_fail("%s cannot be asked for a slab", target->link->node->name);
}

/* what does not have its slab any more stays as it is, and is asked again later */
static void on_located(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct repair_slab *slab = &r->located[r->n_located];
	struct device_extent *extent = extent_numbered(r->extent);
	char text[160];

	(void)arg;
	repair_answered();
	r->locating++;
	if (answer && le16toh(answer->head.type) == FARSWAP_MSG_LOCATED && le64toh(answer->grant.slab) == slab->slab &&
	    le64toh(answer->grant.incarnation) == slab->incarnation && le64toh(answer->grant.bytes) == device.slab_bytes) {
		slab->address = le64toh(answer->grant.address);
		slab->rkey = le32toh(answer->grant.rkey);
		r->n_located++;
		return;
	}
	farswap_log_limited(&limit, "%s: extent %" PRIu64 ": %s does not tell where its slab is: %s", device.name, r->extent,
			    link->node->name, repair_refusal(link, answer, text, sizeof(text)));
	if (extent)
		extent->retry_ns = farswap_now_ns() + REPAIR_RETRY_NS;
}

/* a donor's daemon that was restarted has its slabs at other addresses, under other keys */
static void advance_locate(void)
{
	const struct device_extent *extent = extent_numbered(r->extent);
	union farswap_msg msg;

	for (; extent && r->locating < extent->n; r->locating++) {
		const struct device_member *member = &extent->members[r->locating];
		struct device_peer *peer = peer_live(member->peer);

		if (!peer || peer->number == member->peer)
			continue;
		r->located[r->n_located] = (struct repair_slab) {
			.peer = peer->number, .slab = member->slab, .incarnation = member->incarnation,
		};
		farswap_msg_make(&msg, FARSWAP_MSG_LOCATE, 0);
		msg.slab.session = htole64(peer->session);
		msg.slab.slab = htole64(member->slab);
		if (!repair_ask(peer, &msg, on_located))
			repair_fail("%s cannot be asked where its slab is", peer->link->node->name);
		return;
	}
	if (!r->n_located) {
		repair_fail("no member has come back with its slab");
		return;
	}
	r->step = REPAIR_SEAL;
	device_kick();
}

static void on_sealed(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	(void)answers;
	(void)arg;
	repair_answered();
	if (error)
		repair_fail("not sealed: %s", why);
	else
		r->step = r->target ? REPAIR_SUMS : REPAIR_SET;
}

static void on_set(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	const struct device_peer *target = peer_numbered(r->target);
	struct device_extent *extent = extent_numbered(r->extent);

	(void)answers;
	(void)arg;
	repair_answered();
	if (error) {
		repair_fail("members not set: %s", why);
		return;
	}
	if (r->target) {
		r->extents_done++;
		if (extent)
			extent->pages_lost = r->nobody_has;
		farswap_log_limited(&limit, "%s: extent %" PRIu64 " has a new copy at %s, %zu pages checked", device.name,
				    r->extent, target ? target->link->node->name : "a lost donor", r->n_sums);
	}
	r->why[0] = 0;
	over();
}

/* as what it goes on; NULL: as it is, for now. It was located under the number that it has now, or its key may be that of another slab. */
static const struct repair_slab *located(const struct device_member *member)
{
	const struct device_peer *peer = peer_live(member->peer);
	unsigned int i;

	for (i = 0; peer && i < r->n_located; i++)
		if (r->located[i].slab == member->slab && r->located[i].peer == peer->number)
			return &r->located[i];
	return NULL;
}

/* who stays, by what it is called now, and the new one; 0: there would be too many, or none */
static unsigned int members_after(const struct device_extent *extent, struct device_member *members)
{
	unsigned int i, n = 0;

	for (i = 0; i < extent->n; i++) {
		const struct repair_slab *now = located(&extent->members[i]);

		if (peer_standing(extent->members[i].peer) == STANDING_LOST)
			continue;
		members[n] = extent->members[i];
		members[n].succeeds = members[n].peer;
		if (now) {
			members[n].peer = now->peer;
			members[n].address = now->address;
			members[n].rkey = now->rkey;
		}
		n++;
	}
	if (!r->target)
		return n;
	if (n >= device.copies || n >= FARSWAP_COPIES_MAX)
		return 0;
	members[n] = (struct device_member) {
		.peer = r->target, .slab = r->copy.slab, .incarnation = r->copy.incarnation, .address = r->copy.address,
		.rkey = r->copy.rkey,
	};
	return n + 1;
}

static void set_members(void)
{
	const struct device_extent *extent = extent_numbered(r->extent);
	struct device_member members[FARSWAP_COPIES_MAX];
	unsigned int n = extent ? members_after(extent, members) : 0;
	struct nl_msg *msg;

	if (!n) {
		repair_fail("its members have changed meanwhile");
		return;
	}
	msg = extent_msg(FARSWAP_CMD_EXTENT_SET, r->generation + 1);
	if (msg && extent_put_members(msg, members, n)) {
		nlmsg_free(msg);
		msg = NULL;
	}
	repair_call(msg, on_set);
}

void repair_advance(void)
{
	struct device_peer *target;
	bool stale = extent_refresh();

	if (r->waiting && r->step != REPAIR_CHECK)
		return;
	if (r->step == REPAIR_IDLE) {
		if (!stale)
			choose();
		if (r->step == REPAIR_IDLE || r->waiting)
			return;
	}
	target = r->target ? peer_numbered(r->target) : NULL;
	if (r->target && (!target || target->state != PEER_LIVE || target->closed)) {
		if (!r->waiting)	/* else its answers, or that there are none, come first */
			repair_fail("the donor of the new copy is lost");
		return;
	}
	farswap_stall("repair");
	switch (r->step) {
	case REPAIR_GRANT:
		grant(target);
		break;
	case REPAIR_RENEW:
		renew(target);
		break;
	case REPAIR_LOCATE:
		advance_locate();
		break;
	case REPAIR_SEAL:
		repair_call(extent_msg(FARSWAP_CMD_EXTENT_SEAL, r->generation), on_sealed);
		break;
	case REPAIR_SUMS:
		copy_ask_sums();
		break;
	case REPAIR_PUSH:
		copy_push(target);
		break;
	case REPAIR_CHECK:
		copy_check(target);
		break;
	case REPAIR_SET:
		set_members();
		break;
	default:
		break;
	}
}

void repair_progress(struct repair_progress *out)
{
	uint64_t spent = r->begun_ns ? farswap_now_ns() - r->begun_ns : 0, bytes;
	struct plan_extent view;
	size_t i;

	memset(out, 0, sizeof(*out));
	for (i = 0; i < device.table.n; i++)
		out->pages_lost += device.table.extents[i].pages_lost;
	for (i = 0; device.unsettled && i < device.table.n; i++) {
		const struct device_extent *extent = &device.table.extents[i];
		bool present = r->step != REPAIR_IDLE && r->target && extent->number == r->extent;

		view_of(extent, &view);
		if (!present && plan_extent(&view, device.copies) != EXTENT_REPLACE)
			continue;
		out->extents++;
		bytes = (uint64_t)extent->frames_used * FARSWAP_FRAME_BYTES;
		if (present && r->n_sums && r->step == REPAIR_PUSH)
			bytes -= bytes * r->at / r->n_sums;
		else if (present && r->step > REPAIR_PUSH)
			bytes = 0;
		out->bytes_left += bytes;
	}
	if (spent)
		out->bytes_per_s = (double)r->bytes * 1e9 / (double)spent;
}

void repair_reset(void)
{
	copy_reset();
	memset(r, 0, sizeof(*r));
}
