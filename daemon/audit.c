// SPDX-License-Identifier: GPL-2.0
/*
 * farswap audit: the kernel reads every held page from every member and compares it with its map's checksum;
 * this adds up what it found, per donor and over all.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nl.h"
#include "tool.h"

struct audit_donor {
	char name[32];
	uint64_t good, bad, unread;
};

struct audit_job {
	struct tool_extents extents;
	const char *device;
	bool json;
	unsigned int copies;		/* wanted */
	struct audit_donor donors[256];
	size_t n_donors;
	int told;			/* exit code of what has had its line on stderr already */
	uint64_t stored, staged, filled, errors, short_pages;
	unsigned int least;		/* good copies of the worst stored page */
	struct json_object *findings;	/* of -j */
};

static struct audit_donor *donor_named(struct audit_job *job, const char *name)
{
	size_t i;

	for (i = 0; i < job->n_donors; i++)
		if (!strcmp(job->donors[i].name, name))
			return &job->donors[i];
	if (job->n_donors == ARRAY_SIZE(job->donors))
		return &job->donors[0];
	snprintf(job->donors[job->n_donors].name, sizeof(job->donors[0].name), "%s", name);
	return &job->donors[job->n_donors++];
}

static void report(struct audit_job *job, const char *what, const struct tool_member *member, struct nlattr **attrs)
{
	unsigned long long slot = farswap_nl_u64(attrs, FARSWAP_A_SLOT);
	unsigned int frame = farswap_nl_u32(attrs, FARSWAP_A_FRAME);
	struct json_object *one;

	if (!job->json) {
		printf("%s: slot %llu on %s, slab %#llx, frame %u\n", what, slot, member->name,
		       (unsigned long long)member->slab, frame);
		return;
	}
	one = json_object_new_object();
	json_object_object_add(one, "what", json_object_new_string(what));
	json_object_object_add(one, "slot", json_object_new_uint64(slot));
	json_object_object_add(one, "node", json_object_new_string(member->name));
	json_object_object_add(one, "slab", json_object_new_uint64(member->slab));
	json_object_object_add(one, "frame", json_object_new_uint64(frame));
	json_object_array_add(job->findings, one);
}

static void take_stored(struct audit_job *job, struct nlattr **attrs, const struct tool_extent *extent)
{
	uint32_t good = farswap_nl_u32(attrs, FARSWAP_A_GOOD);
	uint32_t bad = farswap_nl_u32(attrs, FARSWAP_A_BAD);
	uint32_t unread = farswap_nl_u32(attrs, FARSWAP_A_UNREAD);
	unsigned int i, copies = 0;

	job->stored++;
	for (i = 0; extent && i < extent->n; i++) {
		const struct tool_member *member = &extent->members[i];
		struct audit_donor *donor = donor_named(job, member->name);

		/* said to be good and nothing else, or it is not good */
		if (bad & 1u << i) {
			donor->bad++;
			report(job, "bad", member, attrs);
		} else if (good & 1u << i && !(unread & 1u << i)) {
			donor->good++;
			copies++;
		} else {
			donor->unread++;
			if (member->live)
				report(job, "unread", member, attrs);
		}
	}
	if (copies < job->copies)
		job->short_pages++;
	if (job->stored == 1 || copies < job->least)
		job->least = copies;
}

static int take_slot(const struct nlmsghdr *nlh, void *arg)
{
	struct audit_job *job = arg;
	struct nlattr *attrs[FARSWAP_A_MAX + 1];
	const struct tool_extent *extent;
	uint64_t number;

	if (farswap_nl_parse(nlh, attrs))
		return -EBADMSG;
	switch (farswap_nl_u8(attrs, FARSWAP_A_SLOT_STATE)) {
	case FARSWAP_SLOT_STORED:
		number = farswap_nl_u64(attrs, FARSWAP_A_EXTENT);
		extent = tool_extent_find(&job->extents, number);
		if (!extent) {	/* added since: read them again */
			const char *device = job->device;

			tool_extents_free(&job->extents);
			job->told = tool_extents_read(&job->extents, device);
			if (job->told)
				return -ECANCELED;
			extent = tool_extent_find(&job->extents, number);
		}
		take_stored(job, attrs, extent);
		return 0;
	case FARSWAP_SLOT_FILLED:
		job->filled++;
		return 0;
	case FARSWAP_SLOT_STAGED:
		job->staged++;
		return 0;
	case FARSWAP_SLOT_ERROR:
		job->errors++;
		return 0;
	default:
		return 0;
	}
}

static int take_device(const struct nlmsghdr *nlh, void *arg)
{
	struct audit_job *job = arg;
	struct nlattr *attrs[FARSWAP_A_MAX + 1];

	if (farswap_nl_parse(nlh, attrs))
		return -EBADMSG;
	job->copies = farswap_nl_u8(attrs, FARSWAP_A_COPIES);
	return job->copies ? 0 : -EBADMSG;	/* what is enough, when that is not known? */
}

static int call(struct audit_job *job, int cmd, int dump, uint32_t flags, int (*each)(const struct nlmsghdr *, void *))
{
	struct nl_msg *msg = farswap_nl_new(cmd, dump);
	char err[300] = "out of memory";
	int ret = -ENOMEM;

	if (msg) {
		nla_put_string(msg, FARSWAP_A_NAME, job->device);
		if (flags)
			nla_put_u32(msg, FARSWAP_A_FLAGS, flags);
		ret = farswap_nl_call(msg, each, job, err, sizeof(err));
		nlmsg_free(msg);
	}
	if (job->told)
		return job->told;
	if (farswap_nl_is_gone(ret) && ret != -EPROTONOSUPPORT)
		return tool_fail(EXIT_FAILED, "there is no farswap device %s", job->device);
	return ret ? tool_fail(EXIT_FAILED, "%s: %s", job->device, err) : 0;
}

static void print_json(const struct audit_job *job, bool bad)
{
	struct json_object *all = json_object_new_object(), *donors = json_object_new_array();
	size_t i;

	for (i = 0; i < job->n_donors; i++) {
		struct json_object *one = json_object_new_object();

		json_object_object_add(one, "name", json_object_new_string(job->donors[i].name));
		json_object_object_add(one, "good", json_object_new_uint64(job->donors[i].good));
		json_object_object_add(one, "bad", json_object_new_uint64(job->donors[i].bad));
		json_object_object_add(one, "unread", json_object_new_uint64(job->donors[i].unread));
		json_object_array_add(donors, one);
	}
	json_object_object_add(all, "device", json_object_new_string(job->device));
	json_object_object_add(all, "ok", json_object_new_boolean(!bad));
	json_object_object_add(all, "held", json_object_new_uint64(job->stored + job->staged + job->filled + job->errors));
	json_object_object_add(all, "stored", json_object_new_uint64(job->stored));
	json_object_object_add(all, "staged", json_object_new_uint64(job->staged));
	json_object_object_add(all, "filled", json_object_new_uint64(job->filled));
	json_object_object_add(all, "errors", json_object_new_uint64(job->errors));
	json_object_object_add(all, "short", json_object_new_uint64(job->short_pages));
	json_object_object_add(all, "copies", json_object_new_uint64(job->least));
	json_object_object_add(all, "copies_wanted", json_object_new_uint64(job->copies));
	json_object_object_add(all, "donors", donors);
	json_object_object_add(all, "findings", json_object_get(job->findings));
	printf("%s\n", json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN));
	json_object_put(all);
}

static void print_table(const struct audit_job *job)
{
	size_t i;

	printf("%-32s %12s %12s %12s\n", "donor", "good", "bad", "unread");
	for (i = 0; i < job->n_donors; i++)
		printf("%-32s %12llu %12llu %12llu\n", job->donors[i].name, (unsigned long long)job->donors[i].good,
		       (unsigned long long)job->donors[i].bad, (unsigned long long)job->donors[i].unread);
	printf("%s: stored=%llu staged=%llu filled=%llu errors=%llu short=%llu copies=%u of %u\n", job->device,
	       (unsigned long long)job->stored, (unsigned long long)job->staged, (unsigned long long)job->filled,
	       (unsigned long long)job->errors,
	       (unsigned long long)job->short_pages, job->least, job->copies);
	if (!job->stored)
		printf("%s: %s: no copy was read\n", job->device,
		       job->staged || job->filled || job->errors ? "no page is stored" : "no page is held");
}

int cmd_audit(struct tool *tool, int argc, char **argv)
{
	static struct audit_job job;
	uint64_t bad = 0;
	size_t i;
	int code;

	job.device = argc == 2 ? tool_device(argv[1]) : NULL;
	job.json = tool->json;
	if (!job.device)
		return tool_fail(EXIT_USAGE, "audit wants one device name, like farswap0");
	job.findings = json_object_new_array();
	code = call(&job, FARSWAP_CMD_DEV_GET, 0, 0, take_device);
	if (!code && !job.copies)
		code = tool_fail(EXIT_FAILED, "%s: the kernel module does not tell its state", job.device);
	if (!code)
		code = tool_extents_read(&job.extents, job.device);
	if (!code)
		code = call(&job, FARSWAP_CMD_SLOT_GET, 1, FARSWAP_SLOT_VERIFY, take_slot);
	if (!code) {
		for (i = 0; i < job.n_donors; i++)
			bad += job.donors[i].bad;
		if (bad || job.errors || job.short_pages)
			code = EXIT_BAD;
		if (job.json)
			print_json(&job, code);
		else
			print_table(&job);
	}
	json_object_put(job.findings);
	tool_extents_free(&job.extents);
	return code;
}
