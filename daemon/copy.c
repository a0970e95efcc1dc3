// SPDX-License-Identifier: GPL-2.0
/*
 * The bytes of a new copy: a member's donor pushes them, the new one checks them, what differs is pushed again from another member. What
 * has been pushed is checked while the next piece is on its way.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "farswapd.h"
#include "log.h"
#include "repair_int.h"

#define PIECE_BYTES	(8ull << 20)	/* of a PUSH: its WRITEs may take ANSWER_LIMIT (push.c) */
#define GAP_BYTES	(64ull << 10)	/* costs less to push than another message */
#define AWAY_NS		10000000000ull	/* a try that a member is missing for costs a whole push */

static struct device_repair *const r = &device.repair;
static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT;
static sd_event_source *pacer;

static uint32_t frames_per_slab(void)
{
	return (uint32_t)(device.slab_bytes / FARSWAP_FRAME_BYTES);
}

void copy_forget(void)
{
	free(r->sums);
	free(r->todo);
	free(r->differ);
	r->sums = NULL;
	r->todo = NULL;
	r->differ = NULL;
	r->n_sums = 0;
	r->at = 0;
	r->checked = 0;
	r->try++;
	r->nobody_has = 0;
	r->source = 0;
	r->n_tried = 0;
	r->has_queue = false;
	r->has_token = false;
	r->failures = 0;
	r->check_why[0] = 0;
	explicit_bzero(r->token, sizeof(r->token));
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
	repair_answered();
	if (!error) {
		error = take_sums(answers);
		why = strerror(-error);
	}
	if (error)
		repair_fail("sums not read: %s", why);
	else
		r->step = REPAIR_PUSH;
}

void copy_ask_sums(void)
{
	struct nl_msg *msg = device_msg(FARSWAP_CMD_SUM_GET, 1);

	if (msg)
		nla_put_u64(msg, FARSWAP_A_EXTENT, r->extent);
	repair_call(msg, on_sums);
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
			    repair_refusal(link, answer, text, sizeof(text)));
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
			build_refused(target, repair_refusal(link, answer, text, sizeof(text)));
		repair_fail("no push to %s", target ? target->link->node->name : "a lost donor");
		break;
	case PUSH_OTHER_SLAB:
		/* if both answer, the way between them may be at fault: others are tried first */
		if (source)
			source->push_failed_ns = farswap_now_ns();
		if (code && target)
			build_refused(target, repair_refusal(link, answer, text, sizeof(text)));
		repair_fail("what %s still pushes is not known", link->node->name);
		break;
	}
}

static void on_pushed(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct device_peer *source = peer_numbered(r->source);

	(void)arg;
	repair_answered();
	if (!answer || le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		push_failed(link, answer);
		return;
	}
	if (le64toh(answer->push.offset) != r->run.offset || le64toh(answer->push.bytes) != r->run.bytes) {
		repair_fail("%s pushed something else than it was asked to", link->node->name);
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
	repair_answered();
	if (!answer || le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		if (peer_numbered(r->target))	/* another is tried next */
			build_refused(peer_numbered(r->target), repair_refusal(link, answer, text, sizeof(text)));
		repair_fail("no token of %s: %s", link->node->name, repair_refusal(link, answer, text, sizeof(text)));
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
	if (!repair_ask(target, &msg, on_token))
		repair_fail("%s cannot be asked for a token", target->link->node->name);
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
	sent = repair_ask(source, &msg, on_pushed);
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

static void push_next(struct device_peer *target)
{
	const struct device_extent *extent = extent_numbered(r->extent);
	struct device_peer *source;

	if (!plan_run(r->sums, r->todo, r->n_sums, r->at, PIECE_BYTES, GAP_BYTES, &r->run)) {
		r->step = REPAIR_CHECK;
		r->at = r->n_sums;
		device_kick();
		return;
	}
	if (!r->source)
		r->source = choose_source(0);
	source = r->source ? peer_numbered(r->source) : NULL;
	if (!source) {
		repair_fail("no live copy can be pushed from");
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

/* a PUSH may be in the air: the try fails when it is answered */
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
		check_failed(link, repair_refusal(link, answer, text, sizeof(text)));
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

	device.in_air--;
	check->asked = false;
	if (check->try == r->try)
		take_check(link, check, answer);
	device_kick();
}

static bool checks_in_air(void)
{
	const struct repair_check *check;

	for (check = r->checks; check < r->checks + REPAIR_CHECKS_MAX; check++)
		if (check->asked && check->try == r->try)
			return true;
	return false;
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
		repair_fail("%zu of %zu pages differ, and %s does not push what it has", differ, r->n_sums, other->link->node->name);
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
		r->checked = 0;
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

/* one CHECK more, of the next sums that were pushed; false: there are none, or it cannot be asked */
static bool ask_check(struct device_peer *target, struct repair_check *check)
{
	union farswap_msg msg;
	size_t i;

	farswap_msg_make(&msg, FARSWAP_MSG_CHECK, 0);
	msg.check.session = htole64(target->session);
	msg.check.slab = htole64(r->copy.slab);
	for (i = r->checked; i < r->at; i++)
		if (is_todo(i) && !farswap_msg_add_sum(&msg, r->sums[i].frame, r->sums[i].offset, r->sums[i].length, r->sums[i].sum))
			break;
	*check = (struct repair_check) { .try = r->try, .from = r->checked, .to = i };
	r->checked = i;
	if (!msg.check.n)
		return false;
	check->asked = link_request(target->link, &msg, on_checked, check);
	device.in_air += check->asked;
	if (!check->asked)
		check_failed(target->link, "it cannot be asked");
	return check->asked;
}

/* several at once: one alone would wait for the way there and back each time. True: one has failed, and so has the try. */
static bool check_pushed(struct device_peer *target)
{
	struct repair_check *check;

	while (!r->check_why[0] && (check = free_check()) && ask_check(target, check))
		;
	if (!r->check_why[0])
		return false;
	if (!r->waiting)
		repair_fail("%s", r->check_why);
	return true;
}

void copy_push(struct device_peer *target)
{
	if (!check_pushed(target) && !r->waiting)
		push_next(target);
}

void copy_check(struct device_peer *target)
{
	if (!check_pushed(target) && r->checked == r->n_sums && !checks_in_air())
		advance_round();
}

void copy_reset(void)
{
	copy_forget();
	pacer = sd_event_source_disable_unref(pacer);
}
