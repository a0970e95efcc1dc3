// SPDX-License-Identifier: GPL-2.0
#include "repair.h"

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

#define PIECE_BYTES	(8ull << 20)	/* of a PUSH: its WRITEs may take ANSWER_LIMIT (push.c) */
#define GAP_BYTES	(64ull << 10)	/* costs less to push than another message */
#define NO_TARGET_NS	5000000000ull
#define AWAY_NS		10000000000ull	/* a try that a member is missing for costs a whole push */
#define TRIES_A_TURN	16	/* extents for which a target is looked for */

static struct device_repair *const r = &device.repair;
static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT;
static sd_event_source *pacer;

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

static uint32_t frames_per_slab(void)
{
	return (uint32_t)(device.slab_bytes / FARSWAP_FRAME_BYTES);
}

/* --- the end of a try --- */

static void forget_copy(void)
{
	free(r->sums);
	free(r->todo);
	free(r->differ);
	r->sums = NULL;
	r->todo = NULL;
	r->differ = NULL;
	r->n_sums = 0;
	r->at = 0;
	r->nobody_has = 0;
	r->source = 0;
	r->n_tried = 0;
	r->has_queue = false;
	r->has_token = false;
	r->failures = 0;
	r->check_why[0] = 0;
	explicit_bzero(r->token, sizeof(r->token));
}

/* the one door of success and failure alike */
static void over(void)
{
	if (r->copy.peer)
		leftover_keep(&r->copy);	/* unless the extents, read anew, have it */
	memset(&r->copy, 0, sizeof(r->copy));
	forget_copy();
	r->step = REPAIR_IDLE;
	device.stale = true;
	device_kick();
}

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void fail(const char *format, ...)
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

/* "the words of a REJECT", or of a link that broke; text is a buffer for it */
static const char *refusal(const struct link *link, const union farswap_msg *answer, char *text, size_t size)
{
	if (!answer)
		return link->why[0] ? link->why : "control connection lost";
	if (le16toh(answer->head.type) != FARSWAP_MSG_REJECT)
		return "answers something else than it was asked";
	return farswap_reject_say(le16toh(answer->reject.code), le64toh(answer->reject.number), text, size);
}

/* --- requests: at most one is in the air, but for CHECKs --- */

static bool ask_about(struct device_peer *peer, union farswap_msg *msg, link_answer answer, void *arg)
{
	if (!link_request(peer->link, msg, answer, arg))
		return false;
	r->waiting++;
	device.in_air++;
	return true;
}

static bool ask(struct device_peer *peer, union farswap_msg *msg, link_answer answer)
{
	return ask_about(peer, msg, answer, NULL);
}

static void answered(void)
{
	r->waiting--;
	device.in_air--;
	device_kick();
}

static void call(struct nl_msg *msg, kernel_done done)
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
	answered();
	if (!error) {
		over();
		return;
	}
	r->open_ns = farswap_now_ns() + REPAIR_RETRY_NS;
	fail("not unsealed: %s", why);
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
		call(extent_msg(FARSWAP_CMD_EXTENT_OPEN, r->generation), on_opened);
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
	answered();
	if (!answer || le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		if (target)
			build_refused(target, refusal(link, answer, text, sizeof(text)));
		fail("no slab of %s: %s", link->node->name, refusal(link, answer, text, sizeof(text)));
		return;
	}
	if (!target || le64toh(answer->grant.session) != target->session || le64toh(answer->grant.extent) != r->extent ||
	    le64toh(answer->grant.bytes) != device.slab_bytes) {
		fail("%s grants something else than it was asked for", link->node->name);
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
	if (!ask(target, &msg, on_granted))
		fail("%s cannot be asked for a slab", target->link->node->name);
}

static void on_renewed(struct link *link, const union farswap_msg *answer, void *arg)
{
	char text[160];

	(void)arg;
	answered();
	if (!answer || le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		fail("%s does not take a slab back: %s", link->node->name, refusal(link, answer, text, sizeof(text)));
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
	if (!ask(target, &msg, on_renewed))
		fail("%s cannot be asked for a slab", target->link->node->name);
}

/* what does not have its slab any more stays as it is, and is asked again later */
static void on_located(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct repair_slab *slab = &r->located[r->n_located];
	struct device_extent *extent = extent_numbered(r->extent);
	char text[160];

	(void)arg;
	answered();
	r->locating++;
	if (answer && le16toh(answer->head.type) == FARSWAP_MSG_LOCATED && le64toh(answer->grant.slab) == slab->slab &&
	    le64toh(answer->grant.incarnation) == slab->incarnation && le64toh(answer->grant.bytes) == device.slab_bytes) {
		slab->address = le64toh(answer->grant.address);
		slab->rkey = le32toh(answer->grant.rkey);
		r->n_located++;
		return;
	}
	farswap_log_limited(&limit, "%s: extent %" PRIu64 ": %s does not tell where its slab is: %s", device.name, r->extent,
			    link->node->name, refusal(link, answer, text, sizeof(text)));
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
		if (!ask(peer, &msg, on_located))
			fail("%s cannot be asked where its slab is", peer->link->node->name);
		return;
	}
	if (!r->n_located) {
		fail("no member has come back with its slab");
		return;
	}
	r->step = REPAIR_SEAL;
	device_kick();
}

static void on_sealed(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	(void)answers;
	(void)arg;
	answered();
	if (error)
		fail("not sealed: %s", why);
	else
		r->step = r->target ? REPAIR_SUMS : REPAIR_SET;
}

static int by_place(const void *a, const void *b)
{
	const struct farswap_sum *x = a, *y = b;

	return x->frame != y->frame ? (x->frame < y->frame ? -1 : 1) : (int)x->offset - (int)y->offset;
}

static size_t sums_in(const struct kernel_answer *answer, const struct farswap_sum **sums)
{
	struct nlattr *attrs[FARSWAP_A_MAX + 1];

	if (farswap_nl_parse(answer->nlh, attrs) || !attrs[FARSWAP_A_SUMS])
		return 0;
	*sums = nla_data(attrs[FARSWAP_A_SUMS]);
	return (size_t)nla_len(attrs[FARSWAP_A_SUMS]) / sizeof(**sums);
}

static int take_sums(const struct kernel_answer *answers)
{
	const struct farswap_sum *sums = NULL;
	const struct kernel_answer *answer;
	size_t n = 0, i;

	for (answer = answers; answer; answer = answer->next)
		n += sums_in(answer, &sums);
	r->sums = calloc(n + 1, sizeof(*r->sums));
	r->todo = calloc(n / 64 + 1, sizeof(*r->todo));
	r->differ = calloc(n / 64 + 1, sizeof(*r->differ));
	if (!r->sums || !r->todo || !r->differ)
		return -ENOMEM;
	for (answer = answers; answer; answer = answer->next) {
		n = sums_in(answer, &sums);
		for (i = 0; i < n; i++) {
			if (sums[i].frame >= frames_per_slab() || !sums[i].length ||
			    sums[i].offset + sums[i].length > FARSWAP_FRAME_BYTES)
				return -EBADMSG;
			r->todo[r->n_sums / 64] |= 1ull << r->n_sums % 64;
			r->sums[r->n_sums++] = sums[i];
		}
	}
	qsort(r->sums, r->n_sums, sizeof(*r->sums), by_place);
	return 0;
}

static void on_sums(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	(void)arg;
	answered();
	if (!error) {
		error = take_sums(answers);
		why = strerror(-error);
	}
	if (error)
		fail("sums not read: %s", why);
	else
		r->step = REPAIR_PUSH;
}

static void ask_sums(void)
{
	struct nl_msg *msg = device_msg(FARSWAP_CMD_SUM_GET, 1);

	if (msg)
		nla_put_u64(msg, FARSWAP_A_EXTENT, r->extent);
	call(msg, on_sums);
}

static bool was_tried(uint32_t peer)
{
	unsigned int i;

	for (i = 0; i < r->n_tried; i++)
		if (r->tried[i].peer == peer)
			return true;
	return false;
}

/* not the peer except; 0: none */
static uint32_t choose_source(uint32_t except)
{
	const struct device_extent *extent = extent_numbered(r->extent);
	struct plan_source sources[FARSWAP_COPIES_MAX];
	unsigned int i;
	int chosen;

	for (i = 0; extent && i < extent->n; i++) {
		const struct device_peer *peer = peer_numbered(extent->members[i].peer);

		sources[i].usable = peer && peer_is_well(peer) && peer->number != except && !was_tried(peer->number);
		sources[i].missed = extent->members[i].missed;
		sources[i].failed_ns = peer ? peer->push_failed_ns : 0;
	}
	chosen = plan_source(sources, i);
	return chosen < 0 ? 0 : extent->members[chosen].peer;
}

/* nothing more of the present source, except what it has not been asked for yet because others had pushed it before */
static void leave_source(bool gave)
{
	if (r->source && (!gave || r->alone) && r->n_tried < FARSWAP_COPIES_MAX) {
		r->tried[r->n_tried].peer = r->source;
		r->tried[r->n_tried++].gave = gave;
	}
	r->alone = gave;
	r->source = 0;
	r->has_queue = false;
	r->has_token = false;
	r->failures = 0;
}

static const struct device_member *member_of(const struct device_extent *extent, uint32_t peer)
{
	unsigned int i;

	for (i = 0; extent && i < extent->n; i++)
		if (extent->members[i].peer == peer)
			return &extent->members[i];
	return NULL;
}

static void push_failed(struct link *link, const union farswap_msg *answer)
{
	struct device_peer *target = peer_numbered(r->target), *source = peer_numbered(r->source);
	unsigned int code = answer ? le16toh(answer->reject.code) : 0;
	bool other_source = choose_source(r->source) != 0;
	char text[160];

	farswap_log_limited(&limit, "%s: extent %" PRIu64 ": push from %s: %s", device.name, r->extent, link->node->name,
			    refusal(link, answer, text, sizeof(text)));
	r->has_queue = false;
	r->has_token = false;
	r->failures++;
	switch (plan_push_failed(code, target && peer_is_well(target), other_source, r->failures)) {
	case PUSH_AGAIN:
		break;
	case PUSH_OTHER_SOURCE:
		leave_source(false);
		break;
	case PUSH_OTHER_TARGET:
		if (target)
			build_refused(target, refusal(link, answer, text, sizeof(text)));
		fail("no push to %s", target ? target->link->node->name : "a lost donor");
		break;
	case PUSH_OTHER_SLAB:
		/* if both answer, the way between them may be at fault: others are tried first */
		if (source)
			source->push_failed_ns = farswap_now_ns();
		if (code && target)
			build_refused(target, refusal(link, answer, text, sizeof(text)));
		fail("what %s still pushes is not known", link->node->name);
		break;
	}
}

static void on_pushed(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct device_peer *source = peer_numbered(r->source);

	(void)arg;
	answered();
	if (!answer || le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		push_failed(link, answer);
		return;
	}
	if (le64toh(answer->push.offset) != r->run.offset || le64toh(answer->push.bytes) != r->run.bytes) {
		fail("%s pushed something else than it was asked to", link->node->name);
		return;
	}
	if (source)
		source->push_failed_ns = 0;
	r->has_queue = true;
	r->failures = 0;
	r->at = r->run.next;
	r->bytes += r->run.bytes;
}

static void on_token(struct link *link, const union farswap_msg *answer, void *arg)
{
	char text[160];

	(void)arg;
	answered();
	if (!answer || le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		fail("no token of %s: %s", link->node->name, refusal(link, answer, text, sizeof(text)));
		return;
	}
	memcpy(r->token, answer->token.token, sizeof(r->token));
	r->has_token = true;
}

static void ask_token(struct device_peer *target)
{
	union farswap_msg msg;

	farswap_msg_make(&msg, FARSWAP_MSG_TOKEN, 0);
	msg.token.session = htole64(target->session);
	if (!ask(target, &msg, on_token))
		fail("%s cannot be asked for a token", target->link->node->name);
}

static void push(struct device_peer *source, const struct device_member *member, struct device_peer *target)
{
	union farswap_msg msg;
	bool sent;

	farswap_msg_make(&msg, FARSWAP_MSG_PUSH, 0);
	msg.push.session = htole64(source->session);
	msg.push.slab = htole64(member->slab);
	msg.push.offset = htole64(r->run.offset);
	msg.push.bytes = htole64(r->run.bytes);
	msg.push.to_session = htole64(target->session);
	msg.push.remote = htole64(r->copy.address + r->run.offset);
	msg.push.rkey = htole32(r->copy.rkey);
	msg.push.to_port = htole16(farswapd.conf.port);
	farswap_addr_wire(&target->link->node->addr, msg.push.to_address);
	if (!r->has_queue)
		memcpy(msg.push.token, r->token, sizeof(r->token));
	r->has_token = false;
	sent = ask(source, &msg, on_pushed);
	explicit_bzero(&msg, sizeof(msg));
	if (!sent)
		leave_source(false);	/* nothing of it is under way */
	device_kick();
}

static int on_pacer(sd_event_source *source, uint64_t usec, void *arg)
{
	(void)source;
	(void)usec;
	(void)arg;
	device_kick();
	return 0;
}

/* true: not yet */
static bool too_early(void)
{
	uint64_t now = farswap_now_ns();

	if (now >= r->due_ns)
		return false;
	farswapd_timer(&pacer, (r->due_ns - now) / 1000 + 1, on_pacer, NULL);
	return true;
}

static void advance_push(struct device_peer *target)
{
	const struct device_extent *extent = extent_numbered(r->extent);
	struct device_peer *source;

	if (!plan_run(r->sums, r->todo, r->n_sums, r->at, PIECE_BYTES, GAP_BYTES, &r->run)) {
		r->step = REPAIR_CHECK;
		r->at = 0;
		device_kick();
		return;
	}
	if (!r->source)
		r->source = choose_source(0);
	source = r->source ? peer_numbered(r->source) : NULL;
	if (!source) {
		fail("no live copy can be pushed from");
		return;
	}
	if (!member_of(extent, r->source) || !peer_is_well(source)) {
		leave_source(false);
		device_kick();
		return;
	}
	if (!r->has_queue && !r->has_token) {
		ask_token(target);
		return;
	}
	if (too_early())
		return;
	r->due_ns = plan_pace(r->due_ns, farswap_now_ns(), r->run.bytes, farswapd.conf.repair_rate);
	push(source, member_of(extent, r->source), target);
}

static bool is_todo(size_t i)
{
	return r->todo[i / 64] >> i % 64 & 1;
}

/* the try fails once no CHECK is in the air any more: an answer to one must not be taken for one of the next try */
static void check_failed(const struct link *link, const char *why)
{
	if (!r->check_why[0])
		snprintf(r->check_why, sizeof(r->check_why), "not checked by %s: %s", link->node->name, why);
}

static void take_check(const struct link *link, const struct repair_check *check, const union farswap_msg *answer)
{
	char text[160];
	size_t i, n = 0;

	if (!answer || le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		check_failed(link, refusal(link, answer, text, sizeof(text)));
		return;
	}
	for (i = check->from; i < check->to; i++) {
		if (!is_todo(i))
			continue;
		if (answer->checked.differ[n / 8] >> n % 8 & 1)
			r->differ[i / 64] |= 1ull << i % 64;
		n++;
	}
	if (n != le32toh(answer->checked.n))
		check_failed(link, "it answers something else than it was asked");
}

static void on_checked(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct repair_check *check = arg;

	answered();
	check->asked = false;
	take_check(link, check, answer);
	if (r->check_why[0] && !r->waiting)
		fail("%s", r->check_why);
}

/* a member that has not pushed what it has, live or not, unless it is gone for good */
static const struct device_peer *not_asked(void)
{
	const struct device_extent *extent = extent_numbered(r->extent);
	unsigned int i, k;

	for (i = 0; extent && i < extent->n; i++) {
		const struct device_peer *peer = peer_numbered(extent->members[i].peer);

		for (k = 0; k < r->n_tried; k++)
			if (r->tried[k].peer == extent->members[i].peer && r->tried[k].gave)
				break;
		if (k == r->n_tried && peer && !(peer->closed && peer_standing(peer->number) == STANDING_LOST))
			return peer;
	}
	return NULL;
}

/*
 * All that was pushed is checked: what differs is pushed again from another member, while there is one. The new copy counts as
 * whole from SET on, so a member that may still have what differs is waited for.
 */
static void advance_round(void)
{
	struct device_extent *extent = extent_numbered(r->extent);
	size_t words = r->n_sums / 64 + 1, i, differ = 0;
	const struct device_peer *other;

	for (i = 0; i < r->n_sums; i++)
		differ += r->differ[i / 64] >> i % 64 & 1;
	leave_source(true);
	r->source = differ ? choose_source(0) : 0;
	other = differ && !r->source ? not_asked() : NULL;
	if (other) {
		fail("%zu of %zu pages differ, and %s does not push what it has", differ, r->n_sums, other->link->node->name);
		if (extent && other->state != PEER_LIVE)
			extent->retry_ns = farswap_now_ns() + AWAY_NS;
		return;
	}
	if (!r->source) {
		if (differ)
			farswap_log("%s: extent %" PRIu64 ": %zu of %zu pages that nobody has right any more: reads of them fail",
				    device.name, r->extent, differ, r->n_sums);
		r->nobody_has = differ;
		r->step = REPAIR_SET;
	} else {
		memcpy(r->todo, r->differ, words * sizeof(*r->todo));
		memset(r->differ, 0, words * sizeof(*r->differ));
		r->at = 0;
		r->step = REPAIR_PUSH;
	}
	device_kick();
}

static struct repair_check *free_check(void)
{
	struct repair_check *check;

	for (check = r->checks; check < r->checks + REPAIR_CHECKS_MAX; check++)
		if (!check->asked)
			return check;
	return NULL;
}

/* one CHECK more, of the next sums to do; false: there are none, or it cannot be asked */
static bool ask_check(struct device_peer *target, struct repair_check *check)
{
	union farswap_msg msg;
	size_t i;

	farswap_msg_make(&msg, FARSWAP_MSG_CHECK, 0);
	msg.check.session = htole64(target->session);
	msg.check.slab = htole64(r->copy.slab);
	for (i = r->at; i < r->n_sums; i++)
		if (is_todo(i) && !farswap_msg_add_sum(&msg, r->sums[i].frame, r->sums[i].offset, r->sums[i].length, r->sums[i].sum))
			break;
	*check = (struct repair_check) { .asked = msg.check.n, .from = r->at, .to = i };
	r->at = i;
	if (check->asked && !ask_about(target, &msg, on_checked, check)) {
		check->asked = false;
		check_failed(target->link, "it cannot be asked");
	}
	return check->asked;
}

/* several at once: one alone would wait for the way there and back each time */
static void advance_check(struct device_peer *target)
{
	struct repair_check *check;

	while (!r->check_why[0] && (check = free_check()) && ask_check(target, check))
		;
	if (r->waiting)
		return;
	if (r->check_why[0])
		fail("%s", r->check_why);
	else
		advance_round();
}

static void on_set(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	const struct device_peer *target = peer_numbered(r->target);
	struct device_extent *extent = extent_numbered(r->extent);

	(void)answers;
	(void)arg;
	answered();
	if (error) {
		fail("members not set: %s", why);
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
		fail("its members have changed meanwhile");
		return;
	}
	msg = extent_msg(FARSWAP_CMD_EXTENT_SET, r->generation + 1);
	if (msg && extent_put_members(msg, members, n)) {
		nlmsg_free(msg);
		msg = NULL;
	}
	call(msg, on_set);
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
			fail("the donor of the new copy is lost");
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
		call(extent_msg(FARSWAP_CMD_EXTENT_SEAL, r->generation), on_sealed);
		break;
	case REPAIR_SUMS:
		ask_sums();
		break;
	case REPAIR_PUSH:
		advance_push(target);
		break;
	case REPAIR_CHECK:
		advance_check(target);
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
	forget_copy();
	memset(r, 0, sizeof(*r));
	pacer = sd_event_source_disable_unref(pacer);
}
