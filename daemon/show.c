// SPDX-License-Identifier: GPL-2.0
/* Bare `farswap`: everything, shaped like `wg`; -j gives the daemon's answer as it came. */
#include <stdio.h>
#include <string.h>

#include "tool.h"

/* "64.0 MiB"; a static buffer for each of the last four calls */
static const char *size_text(uint64_t bytes)
{
	static const char * const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	static char text[4][32];
	static unsigned int turn;
	char *out = text[turn++ % 4];
	double value = (double)bytes;
	unsigned int unit = 0;

	while (value >= 1024 && unit < ARRAY_SIZE(units) - 1) {
		value /= 1024;
		unit++;
	}
	snprintf(out, sizeof(text[0]), unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return out;
}

static unsigned long long number(struct json_object *object, const char *key)
{
	return tool_u64(object, key);
}

static void show_repair(struct json_object *r)
{
	unsigned long long extents = number(r, "extents");
	struct json_object *at = tool_get(r, "at"), *job;
	size_t i;

	if (number(r, "pages_lost"))
		printf("  lost: %llu pages that no donor had right when their extents were repaired; reads of them fail\n",
		       number(r, "pages_lost"));
	if (!extents)
		return;
	printf("  %s: %llu extents to go, %s of %s pushed", number(r, "moves") == extents ? "moving" : "repair", extents,
	       size_text(tool_u64(r, "bytes_done")), size_text(tool_u64(r, "bytes")));
	if (tool_get(r, "seconds_left"))
		printf(" at %s/s, %llu s left", size_text(tool_u64(r, "bytes_per_s")), number(r, "seconds_left"));
	printf("\n");
	for (i = 0; at && i < json_object_array_length(at); i++) {
		job = json_object_array_get_idx(at, i);
		printf("    extent %llu: %s%s%s%s%s\n", number(job, "extent"), tool_text(job, "step"),
		       *tool_text(job, "from") ? ", from " : "", tool_text(job, "from"), *tool_text(job, "to") ? ", to " : "",
		       tool_text(job, "to"));
	}
	if (*tool_text(r, "reason"))
		printf("    %s\n", tool_text(r, "reason"));
}

static void show_device(struct json_object *d)
{
	struct json_object *c = tool_get(d, "counters");
	unsigned long long degraded = number(d, "extents_degraded");

	printf("device: %s\n", tool_text(d, "name"));
	printf("  state: %s%s\n", tool_text(d, "state"), degraded ? ", DEGRADED" : "");
	if (*tool_text(d, "error"))
		printf("  error: %s\n", tool_text(d, "error"));
	printf("  size: %s, %llu copies\n", size_text(tool_u64(d, "size")), number(d, "copies"));
	if (tool_get(d, "extents"))
		printf("  extents: %llu of %llu, slabs of %s", number(d, "extents"), number(d, "extents_needed"),
		       size_text(tool_u64(d, "slab_bytes")));
	else
		printf("  extents: not known, slabs of %s", size_text(tool_u64(d, "slab_bytes")));
	if (degraded)
		printf(", %llu DEGRADED (fewer whole live copies than %llu)", degraded, number(d, "copies"));
	printf("\n");
	show_repair(tool_get(d, "repair"));
	if (!c)
		return;
	printf("  pages: %llu held, %llu staged, %llu of one word, in %llu frames of 4 KiB\n", number(c, "held"), number(c, "staged"),
	       number(c, "filled"), number(c, "frames"));
	if (number(c, "stored_2048") || number(c, "stored_1024") || number(c, "stored_512"))
		printf("  compressed: %llu pages to 2048 bytes, %llu to 1024, %llu to 512, %llu as they are\n", number(c, "stored_2048"),
		       number(c, "stored_1024"), number(c, "stored_512"), number(c, "stored_4096"));
	if (number(c, "missed"))
		printf("  mending: %llu frames that live donors missed or have wrong\n", number(c, "missed"));
	printf("  metadata: %s of this host's memory\n", size_text(number(c, "metadata_bytes")));
	printf("  codec: %s\n", tool_text(d, "codec"));
	printf("  transfer: %llu pages out, %llu pages in\n", number(c, "stores"), number(c, "loads"));
	printf("  page-in: p50 %.1f us, p99 %.1f us\n", (double)tool_u64(c, "load_p50_ns") / 1000,
	       (double)tool_u64(c, "load_p99_ns") / 1000);
	if (number(c, "refused") || number(c, "load_errors") || number(c, "corrupt"))
		printf("  trouble: %llu stores refused, %llu loads failed, %llu copies corrupt\n", number(c, "refused"),
		       number(c, "load_errors"), number(c, "corrupt"));
}

static void show_peer(struct json_object *p)
{
	printf("\npeer: %s\n", tool_text(p, "name"));
	printf("  state: %s%s%s%s\n", tool_text(p, "state"), *tool_text(p, "reason") ? " (" : "", tool_text(p, "reason"),
	       *tool_text(p, "reason") ? ")" : "");
	printf("  endpoint: %s port %llu\n", tool_text(p, "address"), number(p, "port"));
	if (tool_get(p, "slabs"))
		printf("  %s us: %llu slabs, %s, of which pages fill %s\n", strcmp(tool_text(p, "state"), "lost") ? "lends" : "lent",
		       number(p, "slabs"), size_text(tool_u64(p, "bytes")), size_text(tool_u64(p, "used_bytes")));
	if (number(p, "moving")) {
		printf("  moving: %llu slabs, %s of pages, to other donors", number(p, "moving"), size_text(tool_u64(p, "moving_bytes")));
		if (tool_get(p, "moving_bytes_per_s"))
			printf(" at %s/s, %llu s left", size_text(tool_u64(p, "moving_bytes_per_s")), number(p, "moving_seconds_left"));
		printf("\n");
	}
	if (json_object_get_boolean(tool_get(p, "drained")))
		printf("  drained: what it lends us moves to other donors\n");
	if (number(p, "lent") + number(p, "room"))
		printf("  lent in all: %llu of %llu slabs that it offers\n", number(p, "lent"), number(p, "lent") + number(p, "room"));
	if (number(p, "read_ns"))
		printf("  read latency: %.1f us\n", (double)tool_u64(p, "read_ns") / 1000);
	if (strcmp(tool_text(p, "control"), "up"))
		printf("  control: down (%s)\n", tool_text(p, "control_reason"));
	else if (number(p, "silent_ms"))
		printf("  control: silent for %.1f s\n", (double)tool_u64(p, "silent_ms") / 1000);
}

/* "3 of 8", or without a limit "3" */
static void show_use(struct json_object *client, const char *used, const char *limit)
{
	printf("%llu", number(client, used));
	if (number(client, limit))
		printf(" of %llu", number(client, limit));
}

static void show_client(struct json_object *client)
{
	printf("  quota of %s: ", tool_text(client, "name"));
	show_use(client, "slabs", "client_slabs");
	printf(" slabs, ");
	show_use(client, "queue_pairs", "client_queue_pairs");
	printf(" queue pairs, ");
	show_use(client, "requests", "client_requests");
	printf(" requests a second");
	if (number(client, "held"))
		printf(", made to wait %llu times", number(client, "held"));
	printf("\n");
}

static void show_shortage(struct json_object *shortage)
{
	if (!strcmp(tool_text(shortage, "policy"), "off"))
		return;
	printf("  shortage: %s, %s taken from what it lends", tool_text(shortage, "policy"), size_text(tool_u64(shortage, "taken")));
	if (*tool_text(shortage, "group"))
		printf(" for %s", tool_text(shortage, "group"));
	printf("%s%s%s\n", *tool_text(shortage, "why") ? " (" : "", tool_text(shortage, "why"), *tool_text(shortage, "why") ? ")" : "");
}

static void show_lent(struct json_object *status)
{
	struct json_object *lent = tool_get(status, "lent"), *to = tool_get(lent, "to"), *clients = tool_get(lent, "clients");
	size_t i, n = to ? json_object_array_length(to) : 0;

	printf("\nlends: %llu of %llu slabs, %s%s\n", number(lent, "slabs"), number(lent, "limit"), size_text(tool_u64(lent, "bytes")),
	       json_object_get_boolean(tool_get(lent, "drained")) ? ", DRAINED: all of it is to be moved away" : "");
	if (strcmp(tool_text(lent, "memory"), "offers"))
		printf("  memory: %s, %llu slabs asked back, %llu of them at once\n", tool_text(lent, "memory"), number(lent, "asked"),
		       number(lent, "urgent"));
	show_shortage(tool_get(lent, "shortage"));
	if (number(lent, "poisoned"))
		printf("  memory of %llu slabs failed in hardware: their owners are to give them up\n", number(lent, "poisoned"));
	for (i = 0; i < n; i++) {
		struct json_object *one = json_object_array_get_idx(to, i);

		printf("  to %s: %llu slabs, %s, %llu queue pairs%s\n", tool_text(one, "name"), number(one, "slabs"),
		       size_text(tool_u64(one, "bytes")), number(one, "queue_pairs"),
		       json_object_get_boolean(tool_get(one, "control")) ? "" : ", control connection down");
	}
	for (i = 0; clients && i < json_object_array_length(clients); i++)
		show_client(json_object_array_get_idx(clients, i));
}

static void show_members(struct json_object *members)
{
	struct json_object *nodes = tool_get(members, "nodes"), *from = tool_get(members, "from");
	const char *leader = tool_text(members, "leader");
	size_t i, n = nodes ? json_object_array_length(nodes) : 0, left = 0;

	for (i = 0; i < n; i++)
		left += json_object_get_boolean(tool_get(json_object_array_get_idx(nodes, i), "left"));
	if (tool_get(members, "group")) {
		printf("  group: %llu, %s%s", number(members, "group"), leader[0] ? "led by " : "led by nobody", leader);
		if (tool_get(members, "usual_thousandths"))
			printf("; %.1f%% of what all groups offer is lent", (double)number(members, "usual_thousandths") / 10);
		for (i = 0; i < json_object_array_length(from); i++)
			printf("%s group %llu names %llu donors to it", i ? "," : ";", number(json_object_array_get_idx(from, i), "group"),
			       number(json_object_array_get_idx(from, i), "nodes"));
		printf("\n");
	}
	printf("  members: %zu nodes", n - left);
	if (left)
		printf(", and %zu that left", left);
	if (!tool_get(members, "endpoint"))
		printf(" in cluster.conf\n");
	else if (json_object_get_boolean(tool_get(members, "reached")))
		printf(", from %s at %s (%s)\n", tool_text(members, "engine"), tool_text(members, "endpoint"), tool_text(members, "version"));
	else
		printf(", as last known: %s NOT REACHED for %llu s (%s: %s)\n", tool_text(members, "engine"), number(members, "since_s"),
		       tool_text(members, "endpoint"), tool_text(members, "why"));
}

static void show_node(struct json_object *status)
{
	struct json_object *rdma = tool_get(status, "rdma"), *dropped = tool_get(status, "dropped");

	printf("node: %s\n", tool_text(status, "node"));
	printf("  listening: %s port %llu\n", tool_text(status, "address"), number(status, "port"));
	if (json_object_get_boolean(tool_get(rdma, "listening")))
		printf("  rdma: %s\n", tool_text(rdma, "device"));
	else
		printf("  rdma: none (%s)\n", tool_text(rdma, "error"));
	show_members(tool_get(status, "members"));
	if (number(dropped, "total"))
		printf("  dropped control peers: %llu (%llu handshake, %llu key, %llu timeout, %llu crowd, %llu message, %llu order)\n",
		       number(dropped, "total"), number(dropped, "handshake"), number(dropped, "key"),
		       number(dropped, "timeout"), number(dropped, "crowd"), number(dropped, "message"),
		       number(dropped, "order"));
	printf("\n");
}

int cmd_show(struct tool *tool, int argc, char **argv)
{
	struct json_object *request, *status, *device, *peers;
	size_t i;
	int code;

	(void)argv;
	if (argc > 1)
		return tool_fail(EXIT_USAGE, "show takes no argument");
	code = tool_conf(tool);
	if (code)
		return code;
	request = json_object_new_object();
	json_object_object_add(request, "cmd", json_object_new_string("status"));
	status = tool_ask(tool, request, &code);
	if (!status)
		return code;
	if (tool->json) {
		printf("%s\n", json_object_to_json_string_ext(status, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED));
		json_object_put(status);
		return 0;
	}
	show_node(status);
	device = tool_get(status, "device");
	if (device)
		show_device(device);
	else
		printf("device: none\n");
	peers = tool_get(status, "peers");
	for (i = 0; peers && i < json_object_array_length(peers); i++)
		show_peer(json_object_array_get_idx(peers, i));
	show_lent(status);
	json_object_put(status);
	return 0;
}
