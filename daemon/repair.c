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
#define LOOK_NS		50000000ull
#define TRIES_A_TURN	16	/* extents for which a target is looked for */

static struct device_repair *const repair = &device.repair;
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
static void over(struct repair_job *job)
{
	if (job->copy.peer)
		leftover_keep(&job->copy);	/* goes back, unless the extents, read anew, have it; so the next one */
	if (job->moved.peer)
		leftover_keep(&job->moved);
	memset(&job->copy, 0, sizeof(job->copy));
	memset(&job->moved, 0, sizeof(job->moved));
	copy_forget(job);
	job->look_ns = 0;
	even_over(job->extent);
	job->step = REPAIR_IDLE;
	device.stale = true;
	device_kick();
}

void repair_fail(struct repair_job *job, const char *format, ...)
{
	struct device_extent *extent = extent_numbered(job->extent);
	int n = snprintf(repair->why, sizeof(repair->why), "extent %" PRIu64 ": ", job->extent);
	va_list args;

	va_start(args, format);
	vsnprintf(repair->why + n, sizeof(repair->why) - (size_t)n, format, args);
	va_end(args);
	farswap_log_limited(&limit, "%s: %s", device.name, repair->why);
	if (extent)
		extent->retry_ns = farswap_now_ns() + REPAIR_RETRY_NS;
	over(job);
}

const char *repair_refusal(const struct link *link, const union farswap_msg *answer, char *text, size_t size)
{
	if (!answer)
		return link->why[0] ? link->why : "control connection lost";
	if (le16toh(answer->head.type) != FARSWAP_MSG_REJECT)
		return "answers something else than it was asked";
	return farswap_reject_say(le16toh(answer->reject.code), le64toh(answer->reject.number), text, size);
}

/* --- requests: at most one of a job is in the air, but for CHECKs --- */

bool repair_ask(struct repair_job *job, struct device_peer *peer, union farswap_msg *msg, link_answer answer)
{
	job->waiting = link_request(peer->link, msg, answer, job);
	device.in_air += job->waiting;
	return job->waiting;
}

void repair_answered(struct repair_job *job)
{
	job->waiting = false;
	device.in_air--;
	device_kick();
}

void repair_call(struct repair_job *job, struct nl_msg *msg, kernel_done done)
{
	job->waiting = true;
	device.in_air++;
	kernel_call(msg, done, job);
}

static struct nl_msg *extent_msg(const struct repair_job *job, int cmd, uint32_t generation)
{
	struct nl_msg *msg = device_msg(cmd, 0);

	if (msg) {
		nla_put_u64(msg, FARSWAP_A_EXTENT, job->extent);
		nla_put_u32(msg, FARSWAP_A_GENERATION, generation);
	}
	return msg;
}

/* --- the jobs --- */

static bool is_busy(const struct repair_job *job)
{
	return job->step != REPAIR_IDLE || job->waiting;
}

bool repair_is_idle(void)
{
	const struct repair_job *job;

	for (job = repair->jobs; job < repair->jobs + REPAIR_JOBS; job++)
		if (is_busy(job))
			return false;
	return true;
}

/* that has the extent in hand, or NULL */
static const struct repair_job *job_of(uint64_t extent)
{
	const struct repair_job *job;

	for (job = repair->jobs; job < repair->jobs + REPAIR_JOBS; job++)
		if (is_busy(job) && job->extent == extent)
			return job;
	return NULL;
}

/* how many slabs may have to be given back by jobs but for one (NULL: by all): the copy, and what it takes the place of */
static unsigned int held_beside(const struct repair_job *but)
{
	const struct repair_job *job;
	unsigned int held = 0;

	for (job = repair->jobs; job < repair->jobs + REPAIR_JOBS; job++)
		held += job != but && is_busy(job) ? 2 : 0;
	return held;
}

/* beside other jobs one begins only while there are places for what it may have to give back, and some are left */
static bool has_places(unsigned int held, unsigned int more)
{
	return leftover_waiting() + held + more + 3 < REPAIR_ORPHANS_MAX;
}

/* --- what is next --- */

/* what it has can be given back: one slab is before another move begins, not more, as many that nobody takes back would hinder repairs */
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

/* there must be a place for a slab more that has to be given back, and for a move for that of the leaver too, and two that are left to repairs */
static struct device_peer *choose_target(const struct device_extent *extent)
{
	struct placement_node nodes[DEVICE_PEERS_MAX];
	struct device_peer *map[DEVICE_PEERS_MAX];
	size_t i, n;
	int chosen;

	place(extent);
	if (device.slab_bytes != farswapd.conf.slab_bytes || leftover_waiting() + (placed_leaver ? 3 : 0) >= REPAIR_ORPHANS_MAX)
		return NULL;
	n = build_candidates(nodes, map, is_taken);
	for (i = 0; i < n; i++)
		nodes[i].barred |= leftover_at(map[i]) || (even_moves(extent->number, placed_leaver) && map[i]->number != device.even.to);
	return build_choose(PLACEMENT_POWER_OF_TWO, nodes, n, 1, &chosen) ? map[chosen] : NULL;
}

static void on_opened(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	struct repair_job *job = arg;

	(void)answers;
	repair_answered(job);
	if (!error) {
		over(job);
		return;
	}
	repair->open_ns = farswap_now_ns() + REPAIR_RETRY_NS;
	repair_fail(job, "not unsealed: %s", why);
}

/* false: nothing can be done for it by now */
static bool begin(struct repair_job *job, struct device_extent *extent, enum extent_step step)
{
	unsigned int held = held_beside(job);
	struct device_peer *target;
	char why[200];

	job->extent = extent->number;
	job->generation = extent->generation;
	job->target = 0;
	job->leaver = 0;
	job->renewed = !device.adopted;
	job->n_located = 0;
	job->n_gone = 0;
	job->locating = 0;
	if (step == EXTENT_UNSEAL) {
		repair_call(job, extent_msg(job, FARSWAP_CMD_EXTENT_OPEN, job->generation), on_opened);
		return true;
	}
	if (step == EXTENT_SUCCEED) {
		job->step = REPAIR_LOCATE;
		return true;
	}
	if ((held || step == EXTENT_DROP) && !has_places(held, 0)) {
		extent->retry_ns = farswap_now_ns() + REPAIR_RETRY_NS;
		return false;
	}
	if (step == EXTENT_DROP) {
		job->leaver = leaver_of(extent);
		job->step = REPAIR_SEAL;
		return true;
	}
	target = choose_target(extent);
	if (target) {
		job->target = target->number;
		job->leaver = placed_leaver;
		job->step = REPAIR_GRANT;
		if (!repair->begun_ns)
			repair->begun_ns = farswap_now_ns();
		return true;
	}
	if (even_over(extent->number))
		return false;		/* it was not needed */
	extent->retry_ns = farswap_now_ns() + NO_TARGET_NS;
	device_explain(why, sizeof(why));
	if (device.slab_bytes != farswapd.conf.slab_bytes)
		snprintf(why, sizeof(why), "slab= in cluster.conf is not the device's");
	snprintf(repair->why, sizeof(repair->why), "extent %" PRIu64 ": no donor for another copy%s%s", job->extent, *why ? ": " : "", why);
	farswap_log_limited(&limit, "%s: %s", device.name, repair->why);
	return false;
}

/* what is to be served first, of what no job has in hand; its view. NULL: nothing now. unsettled: there is something, if not now */
static struct device_extent *most_urgent(struct plan_extent *view, bool *unsettled)
{
	struct device_extent *best = NULL;
	unsigned int rank, best_rank = 0;
	uint64_t now = farswap_now_ns();
	struct plan_extent one;
	size_t i;

	for (i = 0; i < device.table.n; i++) {
		if (job_of(device.table.extents[i].number))
			continue;
		view_of(&device.table.extents[i], &one);
		*unsettled |= plan_extent(&one, device.copies) != EXTENT_FINE;
		rank = one.sealed && now < repair->open_ns ? 0 : plan_rank(&one, device.copies, now);
		if (rank <= best_rank)
			continue;
		best_rank = rank;
		best = &device.table.extents[i];
		*view = one;
	}
	return best;
}

/* with as many jobs as extents all would be sealed at once, and new pages must go somewhere: one job does it all */
static bool is_small(void)
{
	return device.table.n <= REPAIR_JOBS;
}

/* no look at all extents for each message of the other one */
static bool looks_later(struct repair_job *job)
{
	uint64_t now = farswap_now_ns();

	if (!held_beside(job))
		return false;
	if (now < job->look_ns || is_small())
		return true;
	job->look_ns = now + LOOK_NS;
	return false;
}

static void choose(struct repair_job *job)
{
	struct device_extent *best;
	struct plan_extent view;
	double seconds;
	unsigned int tries = 0, orphans = leftover_release();	/* they are given back when there is nothing else to do, too */

	if (!device.unsettled || looks_later(job))
		return;
	do {
		device.unsettled = orphans || !repair_is_idle();
		best = most_urgent(&view, &device.unsettled);
	} while (best && !begin(job, best, plan_extent(&view, device.copies)) && ++tries < TRIES_A_TURN);
	if (device.unsettled)
		return;
	if (repair->bytes) {
		seconds = (double)(farswap_now_ns() - repair->begun_ns) / 1e9;
		farswap_log("%s: every extent has its copies again: %.1f MiB pushed in %.1f s, %.1f MiB/s", device.name,
			    (double)repair->bytes / (1 << 20), seconds, (double)repair->bytes / (1 << 20) / seconds);
	}
	repair->begun_ns = 0;
	repair->bytes = 0;
	repair->why[0] = 0;
}

/* --- the steps --- */

/* false: it is for something else */
static bool take_grant(struct repair_job *job, const struct farswap_msg_grant *grant)
{
	const struct device_peer *target = peer_numbered(job->target);
	struct device_member member;

	if (!target || le64toh(grant->session) != target->session || le64toh(grant->extent) != job->extent ||
	    le64toh(grant->bytes) != device.slab_bytes)
		return false;
	member = build_member(target, grant);
	job->copy = (struct repair_slab) {
		.peer = member.peer, .slab = member.slab, .incarnation = member.incarnation, .address = member.address,
		.rkey = member.rkey,
	};
	return true;
}

static void on_granted(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct repair_job *job = arg;
	struct device_peer *target = peer_numbered(job->target);
	char text[160];

	repair_answered(job);
	if (!answer || le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		if (target)
			build_refused(target, repair_refusal(link, answer, text, sizeof(text)));
		repair_fail(job, "no slab of %s: %s", link->node->name, repair_refusal(link, answer, text, sizeof(text)));
		return;
	}
	if (!take_grant(job, &answer->grant)) {
		repair_fail(job, "%s grants something else than it was asked for", link->node->name);
		return;
	}
	job->alone = true;
	job->step = job->renewed ? REPAIR_SEAL : REPAIR_RENEW;
}

static void grant(struct repair_job *job, struct device_peer *target)
{
	union farswap_msg msg;

	farswap_msg_make(&msg, FARSWAP_MSG_GRANT, 0);
	msg.grant.session = htole64(target->session);
	msg.grant.extent = htole64(job->extent);
	msg.grant.generation = htole32(job->generation + 1);
	if (!repair_ask(job, target, &msg, on_granted))
		repair_fail(job, "%s cannot be asked for a slab", target->link->node->name);
}

static void on_renewed(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct repair_job *job = arg;
	char text[160];

	repair_answered(job);
	if (!answer || le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		repair_fail(job, "%s does not take a slab back: %s", link->node->name, repair_refusal(link, answer, text, sizeof(text)));
		return;
	}
	memset(&job->copy, 0, sizeof(job->copy));
	job->renewed = true;
	job->step = REPAIR_GRANT;
}

/* the answer may have been a slab that an earlier daemon was granted, and had pushed to when it ended */
static void renew(struct repair_job *job, struct device_peer *target)
{
	union farswap_msg msg;

	leftover_make_release(&msg, target, job->copy.slab);
	if (!repair_ask(job, target, &msg, on_renewed))
		repair_fail(job, "%s cannot be asked for a slab", target->link->node->name);
}

/* the donor was set back to before it granted the slab, which may have gone to another extent since */
static bool has_no_slab(const struct repair_job *job, const union farswap_msg *answer)
{
	if (!answer)
		return false;
	if (le16toh(answer->head.type) == FARSWAP_MSG_REJECT)
		return le16toh(answer->reject.code) == FARSWAP_REJECT_NO_SLAB;
	return le16toh(answer->head.type) == FARSWAP_MSG_LOCATED && le64toh(answer->grant.extent) != job->extent;
}

/* a member whose slab is no more leaves the set; one that does not tell stays as it is, and is asked again later */
static void on_located(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct repair_job *job = arg;
	struct repair_slab *slab = &job->located[job->n_located];
	struct device_extent *extent = extent_numbered(job->extent);
	char text[160];

	repair_answered(job);
	job->locating++;
	if (has_no_slab(job, answer)) {
		farswap_log_limited(&limit, "%s: extent %" PRIu64 ": %s has not got its slab any more", device.name, job->extent, link->node->name);
		job->gone[job->n_gone++] = *slab;
		return;
	}
	if (answer && le16toh(answer->head.type) == FARSWAP_MSG_LOCATED && le64toh(answer->grant.slab) == slab->slab &&
	    le64toh(answer->grant.incarnation) == slab->incarnation && le64toh(answer->grant.bytes) == device.slab_bytes) {
		slab->address = le64toh(answer->grant.address);
		slab->rkey = le32toh(answer->grant.rkey);
		job->n_located++;
		return;
	}
	farswap_log_limited(&limit, "%s: extent %" PRIu64 ": %s does not tell where its slab is: %s", device.name, job->extent,
			    link->node->name, repair_refusal(link, answer, text, sizeof(text)));
	if (extent)
		extent->retry_ns = farswap_now_ns() + REPAIR_RETRY_NS;
}

/* a donor's daemon that was restarted has its slabs at other addresses, under other keys */
static void advance_locate(struct repair_job *job)
{
	const struct device_extent *extent = extent_numbered(job->extent);
	union farswap_msg msg;

	for (; extent && job->locating < extent->n; job->locating++) {
		const struct device_member *member = &extent->members[job->locating];
		struct device_peer *peer = peer_live(member->peer);

		if (!peer || peer->number == member->peer)
			continue;
		job->located[job->n_located] = (struct repair_slab) {
			.peer = peer->number, .slab = member->slab, .incarnation = member->incarnation,
		};
		farswap_msg_make(&msg, FARSWAP_MSG_LOCATE, 0);
		msg.slab.session = htole64(peer->session);
		msg.slab.slab = htole64(member->slab);
		if (!repair_ask(job, peer, &msg, on_located))
			repair_fail(job, "%s cannot be asked where its slab is", peer->link->node->name);
		return;
	}
	if (!job->n_located && !job->n_gone) {
		repair_fail(job, "no member has come back with its slab");
		return;
	}
	job->step = REPAIR_SEAL;
	device_kick();
}

/* a member is to leave before there is another copy */
static bool gives_up(const struct repair_job *job)
{
	return job->leaver && !job->target;
}

static void on_sealed(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	struct repair_job *job = arg;

	(void)answers;
	repair_answered(job);
	if (error)
		repair_fail(job, "not sealed: %s", why);
	else
		job->step = job->target ? REPAIR_SUMS : REPAIR_SET;
	device.stale |= gives_up(job);	/* nothing is written to it any more: what the others have missed is known once it is read now */
}

static void on_set(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	struct repair_job *job = arg;
	const struct device_peer *target = peer_numbered(job->target), *left = peer_numbered(job->moved.peer);
	struct device_extent *extent = extent_numbered(job->extent);

	(void)answers;
	repair_answered(job);
	if (error) {
		repair_fail(job, "members not set: %s", why);
		return;
	}
	if (!job->target && job->moved.peer) {
		repair->drops_done++;
		farswap_log_limited(&limit, "%s: extent %" PRIu64 " is DEGRADED: %s cannot wait for its memory, or some of that failed, and has its slab back", device.name,
				    job->extent, left ? left->link->node->name : "a lost donor");
	}
	if (job->target) {
		repair->extents_done += !job->moved.peer;
		repair->moves_done += job->moved.peer != 0;
		if (extent)
			extent->pages_lost = job->nobody_has;
		farswap_log_limited(&limit, "%s: extent %" PRIu64 " has a new copy at %s%s, %zu pages checked", device.name, job->extent,
				    target ? target->link->node->name : "a lost donor", job->moved.peer ? ", in the place of one that leaves" : "",
				    job->n_sums);
	}
	repair->why[0] = 0;
	over(job);
}

/* as what it goes on; NULL: as it is, for now. It was located under the number that it has now, or its key may be that of another slab. */
static const struct repair_slab *located(const struct repair_job *job, const struct device_member *member)
{
	const struct device_peer *peer = peer_live(member->peer);
	unsigned int i;

	for (i = 0; peer && i < job->n_located; i++)
		if (job->located[i].slab == member->slab && job->located[i].peer == peer->number)
			return &job->located[i];
	return NULL;
}

/* donors number their slabs themselves: two may have the same number */
static bool is_gone(const struct repair_job *job, const struct device_member *member)
{
	const struct device_peer *peer = peer_live(member->peer);
	unsigned int i;

	for (i = 0; peer && i < job->n_gone; i++)
		if (job->gone[i].slab == member->slab && job->gone[i].peer == peer->number)
			return true;
	return false;
}

static bool stays(const struct repair_job *job, const struct device_member *member)
{
	return peer_standing(member->peer) != STANDING_LOST && !is_gone(job, member);
}

/* The member that the new copy takes the place of, or that leaves without; NULL: none, as another one has been lost meanwhile, so it stays. */
static const struct device_member *leaving(const struct repair_job *job, const struct device_extent *extent)
{
	const struct device_member *leaver = NULL;
	unsigned int i, left = 0;

	for (i = 0; i < extent->n; i++) {
		if (job->leaver && extent->members[i].peer == job->leaver)
			leaver = &extent->members[i];
		else
			left += stays(job, &extent->members[i]);
	}
	if (job->target)
		return left + 1 >= device.copies ? leaver : NULL;
	return leaver && peer_standing(leaver->peer) == STANDING_LIVE && repair_spares(extent, (unsigned int)(leaver - extent->members)) ? leaver : NULL;
}

/* the new copy was to take the leaver's place in its rack */
static bool shares_rack(const struct repair_job *job, const struct device_extent *extent)
{
	const struct device_peer *leaver = job->leaver ? peer_numbered(job->leaver) : NULL, *target = peer_numbered(job->target);
	unsigned int i;

	for (i = 0; leaver && target && i < extent->n; i++)
		if (extent->members[i].peer == job->leaver && stays(job, &extent->members[i]))
			return leaver->link->node->rack[0] && !strcmp(leaver->link->node->rack, target->link->node->rack);
	return false;
}

/* who stays, by what it is called now, and the new one; 0: there would be too many, or none */
static unsigned int members_after(struct repair_job *job, const struct device_extent *extent, struct device_member *members)
{
	const struct device_member *leaver = leaving(job, extent);
	unsigned int i, n = 0;

	job->moved = (struct repair_slab) { .peer = leaver ? leaver->peer : 0, .slab = leaver ? leaver->slab : 0 };
	for (i = 0; i < extent->n; i++) {
		const struct repair_slab *now = located(job, &extent->members[i]);

		if (!stays(job, &extent->members[i]) || &extent->members[i] == leaver)
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
	if (!job->target)
		return gives_up(job) && !leaver ? 0 : n;
	if (n >= device.copies || n >= FARSWAP_COPIES_MAX || (!leaver && shares_rack(job, extent)))
		return 0;
	members[n] = (struct device_member) {
		.peer = job->target, .slab = job->copy.slab, .incarnation = job->copy.incarnation, .address = job->copy.address,
		.rkey = job->copy.rkey,
	};
	return n + 1;
}

static void set_members(struct repair_job *job)
{
	struct device_extent *extent = extent_numbered(job->extent);
	struct device_member members[FARSWAP_COPIES_MAX];
	unsigned int n = extent ? members_after(job, extent, members) : 0;
	struct nl_msg *msg;

	if (!n) {
		repair_fail(job, job->n_gone ? "no donor has its slab any more" : "its members have changed meanwhile");
		if (extent && job->n_gone)
			extent->retry_ns = farswap_now_ns() + NO_TARGET_NS;
		return;
	}
	msg = extent_msg(job, FARSWAP_CMD_EXTENT_SET, job->generation + 1);
	if (msg && extent_put_members(msg, members, n)) {
		nlmsg_free(msg);
		msg = NULL;
	}
	repair_call(job, msg, on_set);
}

/*
 * When no other job can take it, a copy that only moves waits for one that is missing and can be made at another donor than where this one
 * goes (its slab there must go back first), and for one that is to leave at once; NULL: for none.
 */
static const struct device_extent *gives_way(struct repair_job *job)
{
	uint64_t now = farswap_now_ns();
	const struct device_peer *target;
	const struct repair_job *other;
	struct device_extent *next;
	struct plan_extent view;
	enum extent_step step;
	bool unsettled = false;

	if (!job->leaver || job->step != REPAIR_PUSH || now < job->look_ns || !has_places(held_beside(job), 1))
		return NULL;
	for (other = repair->jobs; other < repair->jobs + REPAIR_JOBS; other++)
		if (!is_busy(other) && !is_small() && has_places(held_beside(other), 0))
			return NULL;
	job->look_ns = now + LOOK_NS;
	next = most_urgent(&view, &unsettled);
	step = next ? plan_extent(&view, device.copies) : EXTENT_FINE;
	target = step == EXTENT_REPLACE ? choose_target(next) : NULL;
	return step == EXTENT_DROP || (target && target->number != job->target) ? next : NULL;
}

static void advance(struct repair_job *job)
{
	const struct device_extent *first;
	struct device_peer *target;
	bool stale = extent_refresh();

	/* CHECKs go out beside the PUSH in the air */
	if (job->waiting && job->step != REPAIR_PUSH)
		return;
	if (job->step == REPAIR_IDLE) {
		if (!stale)
			choose(job);
		if (job->step == REPAIR_IDLE || job->waiting)
			return;
	}
	target = job->target ? peer_numbered(job->target) : NULL;
	if (job->target && (!target || target->state != PEER_LIVE || target->closed)) {
		if (!job->waiting)
			repair_fail(job, "the donor of the new copy is lost");
		return;
	}
	first = job->waiting || stale ? NULL : gives_way(job);
	if (first) {
		repair_fail(job, "it moves later, extent %" PRIu64 " comes first", first->number);
		return;
	}
	farswap_stall("repair");
	switch (job->step) {
	case REPAIR_GRANT:
		grant(job, target);
		break;
	case REPAIR_RENEW:
		renew(job, target);
		break;
	case REPAIR_LOCATE:
		advance_locate(job);
		break;
	case REPAIR_SEAL:
		repair_call(job, extent_msg(job, FARSWAP_CMD_EXTENT_SEAL, job->generation), on_sealed);
		break;
	case REPAIR_SUMS:
		copy_ask_sums(job);
		break;
	case REPAIR_PUSH:
		copy_push(job, target);
		break;
	case REPAIR_CHECK:
		copy_check(job, target);
		break;
	case REPAIR_SET:
		if (!stale || !gives_up(job))
			set_members(job);
		break;
	default:
		break;
	}
}

void repair_advance(void)
{
	struct repair_job *job;

	for (job = repair->jobs; job < repair->jobs + REPAIR_JOBS; job++)
		advance(job);
}

static bool needs_copy(const struct plan_extent *view)
{
	enum extent_step step = plan_extent(view, device.copies);

	return step == EXTENT_REPLACE || step == EXTENT_MOVE;
}

void repair_progress(struct repair_progress *out)
{
	uint64_t spent = repair->begun_ns ? farswap_now_ns() - repair->begun_ns : 0, bytes;
	struct plan_extent view;
	size_t i;

	memset(out, 0, sizeof(*out));
	for (i = 0; i < device.table.n; i++)
		out->pages_lost += device.table.extents[i].pages_lost;
	for (i = 0; device.unsettled && i < device.table.n; i++) {
		const struct device_extent *extent = &device.table.extents[i];
		const struct repair_job *job = job_of(extent->number);
		bool present = job && job->target;

		view_of(extent, &view);
		if (!present && !needs_copy(&view))
			continue;
		out->extents++;
		out->moves += present ? job->leaver != 0 : plan_extent(&view, device.copies) == EXTENT_MOVE;
		bytes = (uint64_t)extent->frames_used * FARSWAP_FRAME_BYTES;
		if (present && job->n_sums && job->step == REPAIR_PUSH)
			bytes -= bytes * job->at / job->n_sums;
		else if (present && job->step > REPAIR_PUSH)
			bytes = 0;
		out->bytes_left += bytes;
	}
	/* before, the time went to grants and seals, and what is left would seem to take days */
	if (spent && repair->bytes >= RATE_BYTES)
		out->bytes_per_s = (double)repair->bytes * 1e9 / (double)spent;
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
	memset(repair, 0, sizeof(*repair));
}
