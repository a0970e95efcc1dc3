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
#define RATE_BYTES	(1ull << 20)	/* a rate is told from then on */
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
		leftover_keep(&r->copy);	/* goes back, unless the extents, read anew, have it; so the next one */
	if (r->moved.peer)
		leftover_keep(&r->moved);
	memset(&r->copy, 0, sizeof(r->copy));
	memset(&r->moved, 0, sizeof(r->moved));
	copy_forget();
	even_over(r->extent);
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

/* --- requests: at most one is in the air, but for CHECKs and the GRANT ahead --- */

bool repair_ask(struct device_peer *peer, union farswap_msg *msg, link_answer answer)
{
	r->waiting = link_request(peer->link, msg, answer, NULL);
	device.in_air += r->waiting;
	return r->waiting;
}

void repair_answered(void)
{
	r->waiting = false;
	device.in_air--;
	device_kick();
}

void repair_call(struct nl_msg *msg, kernel_done done)
{
	r->waiting = true;
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

/* what it has can be given back: one slab is while the next copy is made, not more, as many that nobody takes back would hinder repairs */
static bool can_leave(const struct device_peer *peer)
{
	return peer_is_well(peer) && leftover_at(peer) <= 1;
}

bool repair_leaves(const struct device_extent *extent, unsigned int member)
{
	const struct device_peer *peer = peer_numbered(extent->members[member].peer);

	return peer && (peer->link->drained || leave_asked(peer, extent->members[member].slab) || even_moves(extent->number, peer->number));
}

/* how many others are live and have all that the extent holds, as far as is known */
static unsigned int good_beside(const struct device_extent *extent, unsigned int member)
{
	const struct device_peer *peer;
	unsigned int i, n = 0;

	for (i = 0; i < extent->n; i++) {
		peer = peer_numbered(extent->members[i].peer);
		n += i != member && peer && peer_is_well(peer) && !extent->members[i].missed;
	}
	return n;
}

/* two others at least, and all; the kernel looks again when the members are set */
bool repair_spares(const struct device_extent *extent, unsigned int member)
{
	return extent->n > 2 && extent->n >= device.copies && good_beside(extent, member) == extent->n - 1;
}

/* so many are good when another one takes its place that the kernel lets it go */
static bool may_move(const struct device_extent *extent, unsigned int member)
{
	return extent->members[member].missed || good_beside(extent, member) + 2 >= device.copies;
}

static enum standing leaving_as(const struct device_extent *extent, unsigned int member, const struct device_peer *peer)
{
	const struct device_asked *asked = leave_asked(peer, extent->members[member].slab);

	return asked && asked->urgent && repair_spares(extent, member) ? STANDING_URGENT : STANDING_LEAVING;
}

static void view_of(const struct device_extent *extent, struct plan_extent *view)
{
	unsigned int i;

	*view = (struct plan_extent) { .sealed = extent->sealed, .n = extent->n, .retry_ns = extent->retry_ns };
	for (i = 0; i < extent->n; i++) {
		const struct device_peer *peer = peer_numbered(extent->members[i].peer);

		view->members[i] = peer_standing(extent->members[i].peer);
		if (view->members[i] == STANDING_LIVE && repair_leaves(extent, i) && can_leave(peer) && may_move(extent, i))
			view->members[i] = leaving_as(extent, i, peer);
	}
}

/* the peer whose copy is to be moved, or dropped, now; 0: none, it is not time for that */
static uint32_t leaver_of(const struct device_extent *extent)
{
	struct plan_extent view;
	enum extent_step step;
	unsigned int i;

	view_of(extent, &view);
	step = plan_extent(&view, device.copies);
	for (i = 0; i < extent->n; i++)
		if ((step == EXTENT_MOVE && view.members[i] == STANDING_LEAVING) || (step == EXTENT_DROP && view.members[i] == STANDING_URGENT))
			return extent->members[i].peer;
	return 0;
}

static const struct device_extent *placed;	/* a target is looked for, for a copy of it */
static uint32_t placed_leaver;			/* in the place of this one's; 0: one more */

/* the node has a copy of it that stays */
static bool is_taken(const struct device_peer *peer)
{
	const struct device_peer *other;
	unsigned int i;

	for (i = 0; i < placed->n; i++) {
		other = peer_numbered(placed->members[i].peer);
		if (other && other->link == peer->link && other->number != placed_leaver && peer_standing(other->number) != STANDING_LOST)
			return true;
	}
	return false;
}

static void place(const struct device_extent *extent)
{
	placed = extent;
	placed_leaver = leaver_of(extent);
}

/*
 * held: how many slabs may have to be given back besides those that wait for it already; there must be a place for one more, and
 * for a move for that of the leaver too, and two that are left to repairs.
 */
static struct device_peer *choose_target(const struct device_extent *extent, unsigned int held)
{
	struct placement_node nodes[DEVICE_PEERS_MAX];
	struct device_peer *map[DEVICE_PEERS_MAX];
	size_t i, n;
	int chosen;

	place(extent);
	if (device.slab_bytes != farswapd.conf.slab_bytes || leftover_waiting() + held + (placed_leaver ? 3 : 0) >= REPAIR_ORPHANS_MAX)
		return NULL;
	n = build_candidates(nodes, map, is_taken);
	for (i = 0; i < n; i++)
		nodes[i].barred |= leftover_at(map[i]) || (even_moves(extent->number, placed_leaver) && map[i]->number != device.even.to);
	return build_choose(PLACEMENT_POWER_OF_TWO, nodes, n, 1, &chosen) ? map[chosen] : NULL;
}

/* --- a slab for the next copy, asked for while this one is filled: its donor makes and registers it meanwhile --- */

static bool needs_copy(const struct plan_extent *view)
{
	enum extent_step step = plan_extent(view, device.copies);

	return step == EXTENT_REPLACE || step == EXTENT_MOVE;
}

static void ahead_drop(void)
{
	if (r->ahead.slab.peer)
		leftover_keep(&r->ahead.slab);
	memset(&r->ahead, 0, sizeof(r->ahead));
}

/* the target that has granted a slab for the extent as it is now, and r->copy: the slab; NULL: none, what was granted goes back */
static struct device_peer *ahead_take(const struct device_extent *extent)
{
	struct device_peer *target = peer_numbered(r->ahead.slab.peer);

	place(extent);
	if (!target || target->link->drained || target->link->is_short || r->ahead.extent != extent->number ||
	    r->ahead.generation != extent->generation || !peer_is_well(target) || is_taken(target)) {
		ahead_drop();
		return NULL;
	}
	r->copy = r->ahead.slab;
	r->alone = true;
	memset(&r->ahead, 0, sizeof(r->ahead));
	return target;
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
static bool begin(struct device_extent *extent, enum extent_step step)
{
	struct device_peer *target;
	char why[200];

	r->extent = extent->number;
	r->generation = extent->generation;
	r->target = 0;
	r->leaver = 0;
	r->renewed = !device.adopted;
	r->n_located = 0;
	r->n_gone = 0;
	r->locating = 0;
	if (step == EXTENT_UNSEAL) {
		repair_call(extent_msg(FARSWAP_CMD_EXTENT_OPEN, r->generation), on_opened);
		return true;
	}
	if (step == EXTENT_SUCCEED) {
		r->step = REPAIR_LOCATE;
		return true;
	}
	if (step == EXTENT_DROP && leftover_waiting() + 2 >= REPAIR_ORPHANS_MAX) {
		extent->retry_ns = farswap_now_ns() + REPAIR_RETRY_NS;
		return false;
	}
	if (step == EXTENT_DROP) {
		r->leaver = leaver_of(extent);
		r->step = REPAIR_SEAL;
		return true;
	}
	target = ahead_take(extent);
	if (!target)
		target = choose_target(extent, 0);
	if (target) {
		r->target = target->number;
		r->leaver = placed_leaver;
		r->step = r->copy.peer ? REPAIR_SEAL : REPAIR_GRANT;
		if (!r->begun_ns)
			r->begun_ns = farswap_now_ns();
		return true;
	}
	if (even_over(extent->number))
		return false;		/* it was not needed */
	extent->retry_ns = farswap_now_ns() + NO_TARGET_NS;
	device_explain(why, sizeof(why));
	if (device.slab_bytes != farswapd.conf.slab_bytes)
		snprintf(why, sizeof(why), "slab= in cluster.conf is not the device's");
	snprintf(r->why, sizeof(r->why), "extent %" PRIu64 ": no donor for another copy%s%s", r->extent, *why ? ": " : "", why);
	farswap_log_limited(&limit, "%s: %s", device.name, r->why);
	return false;
}

/* what is to be served first, but for one; its view. NULL: nothing now. unsettled: there is something, if not now */
static struct device_extent *most_urgent(const struct device_extent *but, struct plan_extent *view, bool *unsettled)
{
	struct device_extent *best = NULL;
	unsigned int rank, best_rank = 0;
	uint64_t now = farswap_now_ns();
	struct plan_extent one;
	size_t i;

	for (i = 0; i < device.table.n; i++) {
		if (&device.table.extents[i] == but)
			continue;
		view_of(&device.table.extents[i], &one);
		*unsettled |= plan_extent(&one, device.copies) != EXTENT_FINE;
		rank = one.sealed && now < r->open_ns ? 0 : plan_rank(&one, device.copies, now);
		if (rank <= best_rank)
			continue;
		best_rank = rank;
		best = &device.table.extents[i];
		*view = one;
	}
	return best;
}

static void choose(void)
{
	struct device_extent *best;
	struct plan_extent view;
	double seconds;
	unsigned int tries = 0, orphans = leftover_release();	/* they are given back when there is nothing else to do, too */

	if (!device.unsettled)
		return;
	do {
		device.unsettled = orphans;
		best = most_urgent(NULL, &view, &device.unsettled);
	} while (best && !begin(best, plan_extent(&view, device.copies)) && ++tries < TRIES_A_TURN);
	if (device.unsettled)
		return;
	ahead_drop();
	if (r->bytes) {
		seconds = (double)(farswap_now_ns() - r->begun_ns) / 1e9;
		farswap_log("%s: every extent has its copies again: %.1f MiB pushed in %.1f s, %.1f MiB/s", device.name,
			    (double)r->bytes / (1 << 20), seconds, (double)r->bytes / (1 << 20) / seconds);
	}
	r->begun_ns = 0;
	r->bytes = 0;
	r->why[0] = 0;
}

/* --- the steps --- */

/* the slab of a GRANTED; false: it is for something else */
static bool take_grant(const struct farswap_msg_grant *grant, const struct device_peer *target, uint64_t extent, struct repair_slab *slab)
{
	struct device_member member;

	if (!target || le64toh(grant->session) != target->session || le64toh(grant->extent) != extent ||
	    le64toh(grant->bytes) != device.slab_bytes)
		return false;
	member = build_member(target, grant);
	*slab = (struct repair_slab) {
		.peer = member.peer, .slab = member.slab, .incarnation = member.incarnation, .address = member.address,
		.rkey = member.rkey,
	};
	return true;
}

static void make_grant(union farswap_msg *msg, const struct device_peer *target, uint64_t extent, uint32_t generation)
{
	farswap_msg_make(msg, FARSWAP_MSG_GRANT, 0);
	msg->grant.session = htole64(target->session);
	msg->grant.extent = htole64(extent);
	msg->grant.generation = htole32(generation + 1);
}

static void on_granted(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct device_peer *target = peer_numbered(r->target);
	char text[160];

	(void)arg;
	repair_answered();
	if (!answer || le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		if (target)
			build_refused(target, repair_refusal(link, answer, text, sizeof(text)));
		repair_fail("no slab of %s: %s", link->node->name, repair_refusal(link, answer, text, sizeof(text)));
		return;
	}
	if (!take_grant(&answer->grant, target, r->extent, &r->copy)) {
		repair_fail("%s grants something else than it was asked for", link->node->name);
		return;
	}
	r->alone = true;
	r->step = r->renewed ? REPAIR_SEAL : REPAIR_RENEW;
}

static void grant(struct device_peer *target)
{
	union farswap_msg msg;

	make_grant(&msg, target, r->extent, r->generation);
	if (!repair_ask(target, &msg, on_granted))
		repair_fail("%s cannot be asked for a slab", target->link->node->name);
}

static void on_granted_ahead(struct link *link, const union farswap_msg *answer, void *arg)
{
	char text[160];

	(void)arg;
	device.in_air--;
	r->ahead.waiting = false;
	/* if it fails, it is asked for again when its turn comes; then that tells why */
	if (!answer || le16toh(answer->head.type) == FARSWAP_MSG_REJECT ||
	    !take_grant(&answer->grant, peer_numbered(r->ahead.target), r->ahead.extent, &r->ahead.slab)) {
		if (answer && le16toh(answer->head.type) == FARSWAP_MSG_REJECT && peer_numbered(r->ahead.target))
			build_refused(peer_numbered(r->ahead.target), repair_refusal(link, answer, text, sizeof(text)));
		r->ahead.retry_ns = farswap_now_ns() + REPAIR_RETRY_NS;
	}
	device_kick();
}

static void grant_ahead(void)
{
	struct device_extent *next;
	struct device_peer *target;
	struct plan_extent view;
	union farswap_msg msg;
	bool unsettled = false;

	/* what an earlier daemon was granted must be renewed first, which begins with a GRANT that is waited for */
	if (r->ahead.waiting || r->ahead.slab.peer || device.adopted || farswap_now_ns() < r->ahead.retry_ns)
		return;
	next = most_urgent(extent_numbered(r->extent), &view, &unsettled);
	if (!next || !needs_copy(&view))
		return;
	target = choose_target(next, 2);	/* the present copy, and what it takes the place of */
	if (!target || target->link->is_short)
		return;
	r->ahead.extent = next->number;
	r->ahead.generation = next->generation;
	r->ahead.target = target->number;
	make_grant(&msg, target, next->number, next->generation);
	r->ahead.waiting = link_request(target->link, &msg, on_granted_ahead, NULL);
	device.in_air += r->ahead.waiting;
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

/* the donor was set back to before it granted the slab, which may have gone to another extent since */
static bool has_no_slab(const union farswap_msg *answer)
{
	if (!answer)
		return false;
	if (le16toh(answer->head.type) == FARSWAP_MSG_REJECT)
		return le16toh(answer->reject.code) == FARSWAP_REJECT_NO_SLAB;
	return le16toh(answer->head.type) == FARSWAP_MSG_LOCATED && le64toh(answer->grant.extent) != r->extent;
}

/* a member whose slab is no more leaves the set; one that does not tell stays as it is, and is asked again later */
static void on_located(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct repair_slab *slab = &r->located[r->n_located];
	struct device_extent *extent = extent_numbered(r->extent);
	char text[160];

	(void)arg;
	repair_answered();
	r->locating++;
	if (has_no_slab(answer)) {
		farswap_log_limited(&limit, "%s: extent %" PRIu64 ": %s has not got its slab any more", device.name, r->extent, link->node->name);
		r->gone[r->n_gone++] = *slab;
		return;
	}
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
	if (!r->n_located && !r->n_gone) {
		repair_fail("no member has come back with its slab");
		return;
	}
	r->step = REPAIR_SEAL;
	device_kick();
}

/* a member is to leave before there is another copy */
static bool gives_up(void)
{
	return r->leaver && !r->target;
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
	device.stale |= gives_up();	/* nothing is written to it any more: what the others have missed is known once it is read now */
}

static void on_set(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	const struct device_peer *target = peer_numbered(r->target), *left = peer_numbered(r->moved.peer);
	struct device_extent *extent = extent_numbered(r->extent);

	(void)answers;
	(void)arg;
	repair_answered();
	if (error) {
		repair_fail("members not set: %s", why);
		return;
	}
	if (!r->target && r->moved.peer) {
		r->drops_done++;
		farswap_log_limited(&limit, "%s: extent %" PRIu64 " is DEGRADED: %s cannot wait for its memory, or some of that failed, and has its slab back", device.name,
				    r->extent, left ? left->link->node->name : "a lost donor");
	}
	if (r->target) {
		r->extents_done += !r->moved.peer;
		r->moves_done += r->moved.peer != 0;
		if (extent)
			extent->pages_lost = r->nobody_has;
		farswap_log_limited(&limit, "%s: extent %" PRIu64 " has a new copy at %s%s, %zu pages checked", device.name, r->extent,
				    target ? target->link->node->name : "a lost donor", r->moved.peer ? ", in the place of one that leaves" : "",
				    r->n_sums);
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

/* donors number their slabs themselves: two may have the same number */
static bool is_gone(const struct device_member *member)
{
	const struct device_peer *peer = peer_live(member->peer);
	unsigned int i;

	for (i = 0; peer && i < r->n_gone; i++)
		if (r->gone[i].slab == member->slab && r->gone[i].peer == peer->number)
			return true;
	return false;
}

static bool stays(const struct device_member *member)
{
	return peer_standing(member->peer) != STANDING_LOST && !is_gone(member);
}

/* The member that the new copy takes the place of, or that leaves without; NULL: none, as another one has been lost meanwhile, so it stays. */
static const struct device_member *leaving(const struct device_extent *extent)
{
	const struct device_member *leaver = NULL;
	unsigned int i, left = 0;

	for (i = 0; i < extent->n; i++) {
		if (r->leaver && extent->members[i].peer == r->leaver)
			leaver = &extent->members[i];
		else
			left += stays(&extent->members[i]);
	}
	if (r->target)
		return left + 1 >= device.copies ? leaver : NULL;
	return leaver && peer_standing(leaver->peer) == STANDING_LIVE && repair_spares(extent, (unsigned int)(leaver - extent->members)) ? leaver : NULL;
}

/* the new copy was to take the leaver's place in its rack */
static bool shares_rack(const struct device_extent *extent)
{
	const struct device_peer *leaver = r->leaver ? peer_numbered(r->leaver) : NULL, *target = peer_numbered(r->target);
	unsigned int i;

	for (i = 0; leaver && target && i < extent->n; i++)
		if (extent->members[i].peer == r->leaver && stays(&extent->members[i]))
			return leaver->link->node->rack[0] && !strcmp(leaver->link->node->rack, target->link->node->rack);
	return false;
}

/* who stays, by what it is called now, and the new one; 0: there would be too many, or none */
static unsigned int members_after(const struct device_extent *extent, struct device_member *members)
{
	const struct device_member *leaver = leaving(extent);
	unsigned int i, n = 0;

	r->moved = (struct repair_slab) { .peer = leaver ? leaver->peer : 0, .slab = leaver ? leaver->slab : 0 };
	for (i = 0; i < extent->n; i++) {
		const struct repair_slab *now = located(&extent->members[i]);

		if (!stays(&extent->members[i]) || &extent->members[i] == leaver)
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
		return gives_up() && !leaver ? 0 : n;
	if (n >= device.copies || n >= FARSWAP_COPIES_MAX || (!leaver && shares_rack(extent)))
		return 0;
	members[n] = (struct device_member) {
		.peer = r->target, .slab = r->copy.slab, .incarnation = r->copy.incarnation, .address = r->copy.address,
		.rkey = r->copy.rkey,
	};
	return n + 1;
}

static void set_members(void)
{
	struct device_extent *extent = extent_numbered(r->extent);
	struct device_member members[FARSWAP_COPIES_MAX];
	unsigned int n = extent ? members_after(extent, members) : 0;
	struct nl_msg *msg;

	if (!n) {
		repair_fail(r->n_gone ? "no donor has its slab any more" : "its members have changed meanwhile");
		if (extent && r->n_gone)
			extent->retry_ns = farswap_now_ns() + NO_TARGET_NS;
		return;
	}
	msg = extent_msg(FARSWAP_CMD_EXTENT_SET, r->generation + 1);
	if (msg && extent_put_members(msg, members, n)) {
		nlmsg_free(msg);
		msg = NULL;
	}
	repair_call(msg, on_set);
}

/* a copy that only moves waits for one that is missing and can be made, and for one that is to leave at once; NULL: for none */
static const struct device_extent *gives_way(void)
{
	struct device_extent *next;
	struct plan_extent view;
	enum extent_step step;
	bool unsettled = false;

	if (!r->leaver || r->step != REPAIR_PUSH)
		return NULL;
	next = most_urgent(extent_numbered(r->extent), &view, &unsettled);
	step = next ? plan_extent(&view, device.copies) : EXTENT_FINE;
	return step == EXTENT_DROP || (step == EXTENT_REPLACE && choose_target(next, 2)) ? next : NULL;
}

void repair_advance(void)
{
	const struct device_extent *first;
	struct device_peer *target;
	bool stale = extent_refresh();

	/* CHECKs go out beside the PUSH in the air */
	if (r->waiting && r->step != REPAIR_PUSH)
		return;
	if (r->step == REPAIR_IDLE) {
		if (!stale && !r->ahead.waiting)
			choose();
		if (r->step == REPAIR_IDLE || r->waiting)
			return;
	}
	target = r->target ? peer_numbered(r->target) : NULL;
	if (r->target && (!target || target->state != PEER_LIVE || target->closed)) {
		if (!r->waiting)
			repair_fail("the donor of the new copy is lost");
		return;
	}
	first = r->waiting || stale ? NULL : gives_way();
	if (first) {
		repair_fail("it moves later, extent %" PRIu64 " comes first", first->number);
		return;
	}
	if (r->step == REPAIR_PUSH || r->step == REPAIR_CHECK)
		grant_ahead();
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
		if (!stale || !gives_up())
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
		if (!present && !needs_copy(&view))
			continue;
		out->extents++;
		out->moves += plan_extent(&view, device.copies) == EXTENT_MOVE;
		bytes = (uint64_t)extent->frames_used * FARSWAP_FRAME_BYTES;
		if (present && r->n_sums && r->step == REPAIR_PUSH)
			bytes -= bytes * r->at / r->n_sums;
		else if (present && r->step > REPAIR_PUSH)
			bytes = 0;
		out->bytes_left += bytes;
	}
	/* before, the time went to grants and seals, and what is left would seem to take days */
	if (spent && r->bytes >= RATE_BYTES)
		out->bytes_per_s = (double)r->bytes * 1e9 / (double)spent;
}

void repair_share(uint32_t peer, struct repair_share *out)
{
	unsigned int m;
	size_t i;

	*out = (struct repair_share) { 0 };
	for (i = 0; i < device.table.n; i++) {
		const struct device_extent *extent = &device.table.extents[i];
		uint64_t bytes = (uint64_t)extent->frames_used * FARSWAP_FRAME_BYTES;

		for (m = 0; m < extent->n; m++) {
			if (extent->members[m].peer != peer)
				continue;
			out->used_bytes += bytes;
			if (peer_standing(peer) != STANDING_LIVE || !repair_leaves(extent, m))
				continue;
			out->moving++;
			out->moving_bytes += bytes;
		}
	}
}

void repair_reset(void)
{
	copy_reset();
	memset(r, 0, sizeof(*r));
}
