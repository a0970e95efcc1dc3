// SPDX-License-Identifier: GPL-2.0
/*
 * The bytes of a new copy: a member's donor pushes them, the new one checks them, what differs is pushed again from another member. What
 * has been pushed is checked while the next piece is on its way. One job pushes at a time.
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

static struct device_repair *const repair = &device.repair;
static struct farswap_log_limit limit = FARSWAP_LOG_LIMIT;
static sd_event_source *pacer;

static uint32_t frames_per_slab(void)
{
	return (uint32_t)(device.slab_bytes / FARSWAP_FRAME_BYTES);
}

void copy_forget(struct repair_job *job)
{
	free(job->sums);
	free(job->todo);
	free(job->differ);
	job->sums = NULL;
	job->todo = NULL;
	job->differ = NULL;
	job->n_sums = 0;
	job->at = 0;
	job->checked = 0;
	job->try++;
	job->nobody_has = 0;
	job->source = 0;
	job->n_tried = 0;
	job->has_queue = false;
	job->has_token = false;
	job->turn = 0;
	job->failures = 0;
	job->check_why[0] = 0;
	explicit_bzero(job->token, sizeof(job->token));
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

static int take_sums(struct repair_job *job, const struct kernel_answer *answers)
{
	const struct farswap_sum *sums = NULL;
	const struct kernel_answer *answer;
	size_t n = 0, i;

	for (answer = answers; answer; answer = answer->next)
		n += sums_in(answer, &sums);
	job->sums = calloc(n + 1, sizeof(*job->sums));
	job->todo = calloc(n / 64 + 1, sizeof(*job->todo));
	job->differ = calloc(n / 64 + 1, sizeof(*job->differ));
	if (!job->sums || !job->todo || !job->differ)
		return -ENOMEM;
	for (answer = answers; answer; answer = answer->next) {
		n = sums_in(answer, &sums);
		for (i = 0; i < n; i++) {
			if (sums[i].frame >= frames_per_slab() || !sums[i].length ||
			    sums[i].offset + sums[i].length > FARSWAP_FRAME_BYTES)
				return -EBADMSG;
			job->todo[job->n_sums / 64] |= 1ull << job->n_sums % 64;
			job->sums[job->n_sums++] = sums[i];
		}
	}
	qsort(job->sums, job->n_sums, sizeof(*job->sums), by_place);
	return 0;
}

static void on_sums(int error, const char *why, const struct kernel_answer *answers, void *arg)
{
	struct repair_job *job = arg;

	repair_answered(job);
	if (!error) {
		error = take_sums(job, answers);
		why = strerror(-error);
	}
	if (error)
		repair_fail(job, "sums not read: %s", why);
	else
		job->step = REPAIR_PUSH;
}

void copy_ask_sums(struct repair_job *job)
{
	struct nl_msg *msg = device_msg(FARSWAP_CMD_SUM_GET, 1);

	if (msg)
		nla_put_u64(msg, FARSWAP_A_EXTENT, job->extent);
	repair_call(job, msg, on_sums);
}

static bool was_tried(const struct repair_job *job, uint32_t peer)
{
	unsigned int i;

	for (i = 0; i < job->n_tried; i++)
		if (job->tried[i].peer == peer)
			return true;
	return false;
}

/* not the peer except; 0: none */
static uint32_t choose_source(const struct repair_job *job, uint32_t except)
{
	const struct device_extent *extent = extent_numbered(job->extent);
	struct plan_source sources[FARSWAP_COPIES_MAX];
	unsigned int i;
	int chosen;

	for (i = 0; extent && i < extent->n; i++) {
		const struct device_peer *peer = peer_numbered(extent->members[i].peer);

		sources[i].usable = peer && peer_is_well(peer) && peer->number != except && !was_tried(job, peer->number);
		sources[i].missed = extent->members[i].missed;
		sources[i].failed_ns = peer ? peer->push_failed_ns : 0;
	}
	chosen = plan_source(sources, i);
	return chosen < 0 ? 0 : extent->members[chosen].peer;
}

/* nothing more of the present source, except what it has not been asked for yet because others had pushed it before */
static void leave_source(struct repair_job *job, bool gave)
{
	if (job->source && (!gave || job->alone) && job->n_tried < FARSWAP_COPIES_MAX) {
		job->tried[job->n_tried].peer = job->source;
		job->tried[job->n_tried++].gave = gave;
	}
	job->alone = gave;
	job->source = 0;
	job->has_queue = false;
	job->has_token = false;
	job->failures = 0;
}

static const struct device_member *member_of(const struct device_extent *extent, uint32_t peer)
{
	unsigned int i;

	for (i = 0; extent && i < extent->n; i++)
		if (extent->members[i].peer == peer)
			return &extent->members[i];
	return NULL;
}

static void push_failed(struct repair_job *job, struct link *link, const union farswap_msg *answer)
{
	struct device_peer *target = peer_numbered(job->target), *source = peer_numbered(job->source);
	unsigned int code = answer ? le16toh(answer->reject.code) : 0;
	bool other_source = choose_source(job, job->source) != 0;
	char text[160];

	farswap_log_limited(&limit, "%s: extent %" PRIu64 ": push from %s: %s", device.name, job->extent, link->node->name,
			    repair_refusal(link, answer, text, sizeof(text)));
	job->has_queue = false;
	job->has_token = false;
	job->failures++;
	switch (plan_push_failed(code, target && peer_is_well(target), other_source, job->failures)) {
	case PUSH_AGAIN:
		break;
	case PUSH_OTHER_SOURCE:
		leave_source(job, false);
		break;
	case PUSH_OTHER_TARGET:
		if (target)
			build_refused(target, repair_refusal(link, answer, text, sizeof(text)));
		repair_fail(job, "no push to %s", target ? target->link->node->name : "a lost donor");
		break;
	case PUSH_OTHER_SLAB:
		/* if both answer, the way between them may be at fault: others are tried first */
		if (source)
			source->push_failed_ns = farswap_now_ns();
		if (code && target)
			build_refused(target, repair_refusal(link, answer, text, sizeof(text)));
		repair_fail(job, "what %s still pushes is not known", link->node->name);
		break;
	}
}

static void on_pushed(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct repair_job *job = arg;
	struct device_peer *source = peer_numbered(job->source);

	repair_answered(job);
	if (!answer || le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		push_failed(job, link, answer);
		return;
	}
	if (le64toh(answer->push.offset) != job->run.offset || le64toh(answer->push.bytes) != job->run.bytes) {
		repair_fail(job, "%s pushed something else than it was asked to", link->node->name);
		return;
	}
	if (source)
		source->push_failed_ns = 0;
	job->has_queue = true;
	job->failures = 0;
	job->at = job->run.next;
	repair->bytes += job->run.bytes;
}

static void on_token(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct repair_job *job = arg;
	char text[160];

	repair_answered(job);
	if (!answer || le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		if (peer_numbered(job->target))	/* another is tried next */
			build_refused(peer_numbered(job->target), repair_refusal(link, answer, text, sizeof(text)));
		repair_fail(job, "no token of %s: %s", link->node->name, repair_refusal(link, answer, text, sizeof(text)));
		return;
	}
	memcpy(job->token, answer->token.token, sizeof(job->token));
	job->has_token = true;
}

static void ask_token(struct repair_job *job, struct device_peer *target)
{
	union farswap_msg msg;

	farswap_msg_make(&msg, FARSWAP_MSG_TOKEN, 0);
	msg.token.session = htole64(target->session);
	if (!repair_ask(job, target, &msg, on_token))
		repair_fail(job, "%s cannot be asked for a token", target->link->node->name);
}

static void push(struct repair_job *job, struct device_peer *source, const struct device_member *member, struct device_peer *target)
{
	union farswap_msg msg;
	bool sent;

	farswap_msg_make(&msg, FARSWAP_MSG_PUSH, 0);
	msg.push.session = htole64(source->session);
	msg.push.slab = htole64(member->slab);
	msg.push.offset = htole64(job->run.offset);
	msg.push.bytes = htole64(job->run.bytes);
	msg.push.to_session = htole64(target->session);
	msg.push.remote = htole64(job->copy.address + job->run.offset);
	msg.push.rkey = htole32(job->copy.rkey);
	msg.push.to_port = htole16(farswapd.conf.port);
	farswap_addr_wire(&target->link->node->addr, msg.push.to_address);
	if (!job->has_queue)
		memcpy(msg.push.token, job->token, sizeof(job->token));
	job->has_token = false;
	sent = repair_ask(job, source, &msg, on_pushed);
	explicit_bzero(&msg, sizeof(msg));
	if (!sent)
		leave_source(job, false);	/* nothing of it is under way */
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

	if (now >= repair->due_ns)
		return false;
	farswapd_timer(&pacer, (repair->due_ns - now) / 1000 + 1, on_pacer, NULL);
	return true;
}

/* one that makes a missing copy before one that moves a copy, and of these what could be pushed first */
static bool comes_before(const struct repair_job *one, const struct repair_job *other)
{
	return !one->leaver != !other->leaver ? !one->leaver : one->turn < other->turn;
}

/* one at a time: pieces of two at once would share the same wires */
static bool has_turn(struct repair_job *job)
{
	const struct repair_job *other;

	if (!job->turn)
		job->turn = ++repair->turns;
	for (other = repair->jobs; other < repair->jobs + REPAIR_JOBS; other++)
		if (other != job && other->step == REPAIR_PUSH && (other->waiting || (other->turn && comes_before(other, job))))
			return false;
	return true;
}

static void push_next(struct repair_job *job, struct device_peer *target)
{
	const struct device_extent *extent = extent_numbered(job->extent);
	struct device_peer *source;

	if (!plan_run(job->sums, job->todo, job->n_sums, job->at, PIECE_BYTES, GAP_BYTES, &job->run)) {
		job->step = REPAIR_CHECK;
		job->at = job->n_sums;
		device_kick();
		return;
	}
	if (!has_turn(job))
		return;
	if (!job->source)
		job->source = choose_source(job, 0);
	source = job->source ? peer_numbered(job->source) : NULL;
	if (!source) {
		repair_fail(job, "no live copy can be pushed from");
		return;
	}
	if (!member_of(extent, job->source) || !peer_is_well(source)) {
		leave_source(job, false);
		device_kick();
		return;
	}
	if (!job->has_queue && !job->has_token) {
		ask_token(job, target);
		return;
	}
	if (too_early())
		return;
	repair->due_ns = plan_pace(repair->due_ns, farswap_now_ns(), job->run.bytes, farswapd.conf.repair_rate);
	push(job, source, member_of(extent, job->source), target);
}

static bool is_todo(const struct repair_job *job, size_t i)
{
	return job->todo[i / 64] >> i % 64 & 1;
}

/* a PUSH may be in the air: the try fails when it is answered */
static void check_failed(struct repair_job *job, const struct link *link, const char *why)
{
	if (!job->check_why[0])
		snprintf(job->check_why, sizeof(job->check_why), "not checked by %s: %s", link->node->name, why);
}

static void take_check(struct repair_job *job, const struct link *link, const struct repair_check *check, const union farswap_msg *answer)
{
	char text[160];
	size_t i, n = 0;

	if (!answer || le16toh(answer->head.type) == FARSWAP_MSG_REJECT) {
		check_failed(job, link, repair_refusal(link, answer, text, sizeof(text)));
		return;
	}
	for (i = check->from; i < check->to; i++) {
		if (!is_todo(job, i))
			continue;
		if (answer->checked.differ[n / 8] >> n % 8 & 1)
			job->differ[i / 64] |= 1ull << i % 64;
		n++;
	}
	if (n != le32toh(answer->checked.n))
		check_failed(job, link, "it answers something else than it was asked");
}

static void on_checked(struct link *link, const union farswap_msg *answer, void *arg)
{
	struct repair_check *check = arg;
	struct repair_job *job = check->job;

	device.in_air--;
	check->job = NULL;
	if (check->try == job->try)
		take_check(job, link, check, answer);
	device_kick();
}

static bool checks_in_air(const struct repair_job *job)
{
	const struct repair_check *check;

	for (check = repair->checks; check < repair->checks + REPAIR_CHECKS_MAX; check++)
		if (check->job == job && check->try == job->try)
			return true;
	return false;
}

/* a member that has not pushed what it has, live or not, unless it is gone for good */
static const struct device_peer *not_asked(const struct repair_job *job)
{
	const struct device_extent *extent = extent_numbered(job->extent);
	unsigned int i, k;

	for (i = 0; extent && i < extent->n; i++) {
		const struct device_peer *peer = peer_numbered(extent->members[i].peer);

		for (k = 0; k < job->n_tried; k++)
			if (job->tried[k].peer == extent->members[i].peer && job->tried[k].gave)
				break;
		if (k == job->n_tried && peer && !(peer->closed && peer_standing(peer->number) == STANDING_LOST))
			return peer;
	}
	return NULL;
}

/*
 * All that was pushed is checked: what differs is pushed again from another member, while there is one. The new copy counts as
 * whole from SET on, so a member that may still have what differs is waited for.
 */
static void advance_round(struct repair_job *job)
{
	struct device_extent *extent = extent_numbered(job->extent);
	size_t words = job->n_sums / 64 + 1, i, differ = 0;
	const struct device_peer *other;

	for (i = 0; i < job->n_sums; i++)
		differ += job->differ[i / 64] >> i % 64 & 1;
	leave_source(job, true);
	job->source = differ ? choose_source(job, 0) : 0;
	other = differ && !job->source ? not_asked(job) : NULL;
	if (other) {
		repair_fail(job, "%zu of %zu pages differ, and %s does not push what it has", differ, job->n_sums, other->link->node->name);
		if (extent && other->state != PEER_LIVE)
			extent->retry_ns = farswap_now_ns() + AWAY_NS;
		return;
	}
	if (!job->source) {
		if (differ)
			farswap_log("%s: extent %" PRIu64 ": %zu of %zu pages that nobody has right any more: reads of them fail",
				    device.name, job->extent, differ, job->n_sums);
		job->nobody_has = differ;
		job->step = REPAIR_SET;
	} else {
		memcpy(job->todo, job->differ, words * sizeof(*job->todo));
		memset(job->differ, 0, words * sizeof(*job->differ));
		job->at = 0;
		job->checked = 0;
		job->step = REPAIR_PUSH;
	}
	device_kick();
}

static struct repair_check *free_check(void)
{
	struct repair_check *check;

	for (check = repair->checks; check < repair->checks + REPAIR_CHECKS_MAX; check++)
		if (!check->job)
			return check;
	return NULL;
}

/* one CHECK more, of the next sums that were pushed; false: there are none, or it cannot be asked */
static bool ask_check(struct repair_job *job, struct device_peer *target, struct repair_check *check)
{
	union farswap_msg msg;
	size_t i;

	farswap_msg_make(&msg, FARSWAP_MSG_CHECK, 0);
	msg.check.session = htole64(target->session);
	msg.check.slab = htole64(job->copy.slab);
	for (i = job->checked; i < job->at; i++)
		if (is_todo(job, i) && !farswap_msg_add_sum(&msg, job->sums[i].frame, job->sums[i].offset, job->sums[i].length, job->sums[i].sum))
			break;
	*check = (struct repair_check) { .try = job->try, .from = job->checked, .to = i };
	job->checked = i;
	if (!msg.check.n)
		return false;
	if (!link_request(target->link, &msg, on_checked, check)) {
		check_failed(job, target->link, "it cannot be asked");
		return false;
	}
	check->job = job;
	device.in_air++;
	return true;
}

/* several at once: one alone would wait for the way there and back each time. True: one has failed, and so has the try. */
static bool check_pushed(struct repair_job *job, struct device_peer *target)
{
	struct repair_check *check;

	while (!job->check_why[0] && (check = free_check()) && ask_check(job, target, check))
		;
	if (!job->check_why[0])
		return false;
	if (!job->waiting)
		repair_fail(job, "%s", job->check_why);
	return true;
}

void copy_push(struct repair_job *job, struct device_peer *target)
{
	if (!check_pushed(job, target) && !job->waiting)
		push_next(job, target);
}

void copy_check(struct repair_job *job, struct device_peer *target)
{
	if (!check_pushed(job, target) && job->checked == job->n_sums && !checks_in_air(job))
		advance_round(job);
}

void copy_reset(void)
{
	struct repair_job *job;

	for (job = repair->jobs; job < repair->jobs + REPAIR_JOBS; job++)
		copy_forget(job);
	pacer = sd_event_source_disable_unref(pacer);
}
