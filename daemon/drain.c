// SPDX-License-Identifier: GPL-2.0
/* farswap drain: a planned leave. The daemon tells those whose slabs it has; they move them; this follows until none is left. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tool.h"

#define LOOK_NS		500000000
#define TELL_NS		5000000000ull
#define DEADLINE_MAX	604800u

struct drain_options {
	uint64_t deadline;		/* s; 0: none */
	bool cancel;
};

/* slabs of other nodes here, and "node1, node4": whose */
struct left {
	bool drained;			/* it is being so still */
	uint64_t slabs, bytes;
	char names[256];
};

static int parse(int argc, char **argv, struct drain_options *options)
{
	static const struct option longs[] = {
		{ "deadline", required_argument, NULL, 'd' },
		{ "cancel", no_argument, NULL, 'c' },
		{ 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'c')
			options->cancel = true;
		else if (c != 'd')
			return EXIT_USAGE;
		else if (farswap_parse_u64(optarg, DEADLINE_MAX, &options->deadline) || !options->deadline)
			return tool_fail(EXIT_USAGE, "--deadline %s is out of range: 1 to %u seconds", optarg, DEADLINE_MAX);
	}
	if (options->cancel && options->deadline)
		return tool_fail(EXIT_USAGE, "--deadline does not go with --cancel");
	return optind == argc - 1 ? 0 : tool_fail(EXIT_USAGE, "drain wants one node name");
}

static int tell_daemon(struct tool *tool, const struct drain_options *options)
{
	struct json_object *request = json_object_new_object();
	int code;

	json_object_object_add(request, "cmd", json_object_new_string("drain"));
	json_object_object_add(request, "on", json_object_new_boolean(!options->cancel));
	json_object_object_add(request, "deadline", json_object_new_uint64(options->deadline));
	json_object_put(tool_ask(tool, request, &code));
	return code;
}

static int look(struct tool *tool, struct left *left)
{
	struct json_object *request = json_object_new_object(), *status, *lent, *to;
	size_t i, length = 0;
	int code;

	json_object_object_add(request, "cmd", json_object_new_string("status"));
	status = tool_ask(tool, request, &code);
	if (!status)
		return code;
	lent = tool_get(status, "lent");
	to = tool_get(lent, "to");
	*left = (struct left) {
		.drained = json_object_get_boolean(tool_get(lent, "drained")),
		.slabs = tool_u64(lent, "slabs"),
		.bytes = tool_u64(lent, "bytes"),
	};
	for (i = 0; to && i < json_object_array_length(to) && length < sizeof(left->names); i++) {
		struct json_object *one = json_object_array_get_idx(to, i);

		if (tool_u64(one, "slabs"))
			length += (size_t)snprintf(left->names + length, sizeof(left->names) - length, "%s%s", length ? ", " : "",
						   tool_text(one, "name"));
	}
	json_object_put(status);
	return code;
}

static void tell(const struct left *first, const struct left *left, uint64_t spent_ns)
{
	double rate = (double)(first->bytes - left->bytes) * 1e9 / (double)spent_ns;

	printf("%llu slabs, %llu MiB left", (unsigned long long)left->slabs, (unsigned long long)left->bytes >> 20);
	if (rate >= 1)
		printf(", %.1f MiB/s, %.0f s to go", rate / (1 << 20), (double)left->bytes / rate);
	printf("; of %s\n", left->names);
	fflush(stdout);
}

static int follow(struct tool *tool, const struct drain_options *options)
{
	const struct timespec moment = { .tv_nsec = LOOK_NS };
	uint64_t begun = farswap_now_ns(), told = begun, now;
	struct left first, left;
	int code = look(tool, &first);

	for (left = first; !code && left.drained && left.slabs; code = look(tool, &left)) {
		now = farswap_now_ns();
		if (now - told >= TELL_NS) {
			tell(&first, &left, now - begun);
			told = now;
		}
		nanosleep(&moment, NULL);
	}
	if (!code && !left.drained)
		return tool_fail(EXIT_FAILED, "node %s: not drained, %s: %llu slabs are left, of %s, where farswap says what hinders; it lends again",
				 tool->conf.self->name, options->deadline && farswap_now_ns() - begun >= options->deadline * 1000000000ull ?
				 "the deadline is over" : "that was cancelled, or its farswapd was started anew",
				 (unsigned long long)left.slabs, left.names);
	if (!code)
		printf("node %s is drained: it holds nothing of other nodes and lends nothing; farswapd may be stopped\n", tool->conf.self->name);
	return code;
}

int cmd_drain(struct tool *tool, int argc, char **argv)
{
	struct drain_options options = { 0 };
	int code = parse(argc, argv, &options);

	if (!code)
		code = tool_conf(tool);
	if (code)
		return code;
	if (strcmp(argv[optind], tool->conf.self->name))
		return tool_fail(EXIT_FAILED, "this is node %s: run farswap drain %s there", tool->conf.self->name, argv[optind]);
	code = tell_daemon(tool, &options);
	return code || options.cancel ? code : follow(tool, &options);
}
