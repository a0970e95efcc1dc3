// SPDX-License-Identifier: GPL-2.0
/* farswap check: what goes wrong first, one line each: OK, warn or FAIL. */
#include <curl/curl.h>
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <ifaddrs.h>
#include <infiniband/verbs.h>
#include <net/if.h>
#include <rdma/rdma_cma.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"
#include "farswap_wire.h"
#include "tls.h"
#include "tool.h"

#define PEER_WAIT_MS	3000
#define VERSION_BYTES	1024	/* of what an endpoint of etcd says about itself */
#define MTU_WANTED	4200	/* a RoCE path of 4096 bytes with its headers */

enum verdict { OK, WARN, FAIL };

static bool json;
static bool failed;
static struct json_object *lines;

static void say(enum verdict verdict, const char *what, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void say(enum verdict verdict, const char *what, const char *format, ...)
{
	static const char * const words[] = { "OK", "warn", "FAIL" };
	struct json_object *one;
	char text[4600];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	failed = failed || verdict == FAIL;
	if (!json) {
		printf("%-4s  %-16s %s\n", words[verdict], what, text);
		fflush(stdout);
		return;
	}
	one = json_object_new_object();
	json_object_object_add(one, "verdict", json_object_new_string(words[verdict]));
	json_object_object_add(one, "what", json_object_new_string(what));
	json_object_object_add(one, "text", json_object_new_string(text));
	json_object_array_add(lines, one);
}

static bool check_key(struct tool *tool, uint8_t key[FARSWAP_KEY_BYTES])
{
	char err[5000];

	if (farswap_key_load(tool->conf.key_path, key, err, sizeof(err))) {
		say(FAIL, "key", "%s", err);
		return false;
	}
	say(OK, "key", "%s", tool->conf.key_path);
	return true;
}

static void check_mtu(const union farswap_addr *addr)
{
	struct ifaddrs *all, *one;
	struct ifreq request;
	int fd;

	if (getifaddrs(&all))
		return;
	for (one = all; one; one = one->ifa_next) {
		union farswap_addr local;

		if (!one->ifa_addr || one->ifa_addr->sa_family != addr->sa.sa_family)
			continue;
		memset(&local, 0, sizeof(local));
		memcpy(&local, one->ifa_addr,
		       addr->sa.sa_family == AF_INET ? sizeof(local.in) : sizeof(local.in6));
		if (addr->sa.sa_family == AF_INET6 && !addr->in6.sin6_scope_id)
			local.in6.sin6_scope_id = 0;
		if (farswap_addr_same_host(&local, addr))
			break;
	}
	if (!one) {	/* 127.0.0.2 and its like are local without being anybody's address */
		if (!farswap_addr_is_local(addr))
			say(FAIL, "address", "%s is on no interface of this host", farswap_addr_text(addr));
		freeifaddrs(all);
		return;
	}
	if (!(one->ifa_flags & IFF_UP))
		say(FAIL, "link", "interface %s of %s is down", one->ifa_name, farswap_addr_text(addr));
	memset(&request, 0, sizeof(request));
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", one->ifa_name);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !ioctl(fd, SIOCGIFMTU, &request))
		say(request.ifr_mtu < MTU_WANTED ? WARN : OK, "MTU", "%s has %d%s", one->ifa_name, request.ifr_mtu,
		    request.ifr_mtu < MTU_WANTED ? ": pages go in several packets; 4200 or more is better" : "");
	if (fd >= 0)
		close(fd);
	freeifaddrs(all);
}

static void check_port_state(struct rdma_cm_id *id)
{
	const char *name = ibv_get_device_name(id->verbs->device);
	struct ibv_port_attr port;

	if (ibv_query_port(id->verbs, id->port_num, &port))
		say(FAIL, "RDMA", "port of %s cannot be asked: %s", name, strerror(errno));
	else
		say(port.state == IBV_PORT_ACTIVE ? OK : FAIL, "RDMA", "%s port %u is %s, MTU %u", name, id->port_num,
		    ibv_port_state_str(port.state), 128u << port.active_mtu);
}

static void check_rdma(const union farswap_addr *addr)
{
	struct rdma_event_channel *channel = rdma_create_event_channel();
	union farswap_addr any_port = *addr;
	struct rdma_cm_id *id = NULL;

	any_port.in.sin_port = 0;
	if (!channel) {
		say(FAIL, "RDMA", "no RDMA connection manager: modprobe rdma_ucm and the adapter's driver (or rdma_rxe)");
		return;
	}
	if (rdma_create_id(channel, &id, NULL, RDMA_PS_TCP))
		say(FAIL, "RDMA", "connection manager: %s", strerror(errno));
	else if (rdma_bind_addr(id, &any_port.sa) || !id->verbs)
		say(FAIL, "RDMA", "no RDMA device has address %s: rdma link show", farswap_addr_text(addr));
	else
		check_port_state(id);
	if (id)
		rdma_destroy_id(id);
	rdma_destroy_event_channel(channel);
}

static void check_memlock(const struct tool *tool)
{
	uint64_t wanted = tool->conf.self->lend * tool->conf.slab_bytes;
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit))
		return;
	if (geteuid() == 0 || limit.rlim_max == RLIM_INFINITY)
		say(OK, "locked memory", "not limited");
	else if (limit.rlim_max < wanted)
		say(FAIL, "locked memory", "limit is %llu bytes, lend= needs %llu: raise it (ulimit -l, LimitMEMLOCK=)",
		    (unsigned long long)limit.rlim_max, (unsigned long long)wanted);
	else
		say(OK, "locked memory", "%llu bytes", (unsigned long long)limit.rlim_max);
}

static bool read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");
	bool ok = file && fgets(line, (int)size, file);

	if (file)
		fclose(file);
	if (ok)
		line[strcspn(line, "\n")] = 0;
	return ok;
}

static void check_huge_pages(void)
{
	char line[128];

	if (!read_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled", line, sizeof(line)))
		return;
	if (strstr(line, "[never]") || strstr(line, "[deny]"))
		say(WARN, "huge pages", "slabs get small pages: echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled");
	else
		say(OK, "huge pages", "for slabs: %s", line);
}

static void check_module(void)
{
	char version[64] = "";

	if (access("/sys/module/farswap", F_OK)) {
		say(WARN, "module", "farswap is not loaded: needed to swap from this node, not to lend (modprobe farswap)");
		return;
	}
	read_line("/sys/module/farswap/version", version, sizeof(version));
	if (strcmp(version, FARSWAP_VERSION))
		say(WARN, "module", "farswap %s is loaded, the tool is %s", *version ? version : "(no version)", FARSWAP_VERSION);
	else
		say(OK, "module", "farswap %s", version);
}

/* is the daemon of this node there? If not, its port must be free. */
static bool check_daemon(struct tool *tool)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	union farswap_addr *addr = &tool->conf.self->addr;
	int fd, one = 1;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s.sock", tool->run_dir, tool->conf.self->name);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		say(OK, "farswapd", "runs and listens on port %u", tool->conf.port);
		close(fd);
		return true;
	}
	if (errno == EACCES)
		say(WARN, "farswapd", "%s: not permitted: be root", address.sun_path);
	else
		say(WARN, "farswapd", "does not run (%s)", address.sun_path);
	if (fd >= 0)
		close(fd);
	fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &addr->sa, farswap_addr_bytes(addr)))
		say(FAIL, "port", "%s port %u: %s", farswap_addr_text(addr), tool->conf.port, strerror(errno));
	else
		say(OK, "port", "%s port %u is free", farswap_addr_text(addr), tool->conf.port);
	close(fd);
	return false;
}

/* --- etcd: farswapd goes on without it, so what is wrong there is a warning --- */

struct page {
	char text[VERSION_BYTES];
	size_t bytes;
};

static size_t take_page(char *data, size_t size, size_t n, void *arg)
{
	struct page *page = arg;

	if (size * n >= sizeof(page->text) - page->bytes)
		return 0;
	memcpy(page->text + page->bytes, data, size * n);
	page->bytes += size * n;
	return size * n;
}

static CURLcode fetch(const char *url, struct page *page, char why[CURL_ERROR_SIZE])
{
	CURL *curl = curl_easy_init();
	CURLcode code;

	if (!curl)
		return CURLE_OUT_OF_MEMORY;
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)PEER_WAIT_MS);
	curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_page);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, page);
	code = curl_easy_perform(curl);
	curl_easy_cleanup(curl);
	return code;
}

static void check_etcd(const struct tool *tool)
{
	unsigned int i;

	for (i = 0; i < tool->conf.n_etcd; i++) {
		const char *endpoint = tool->conf.etcd[i];
		char url[ENGINE_URL_BYTES + 16], why[CURL_ERROR_SIZE] = "";
		struct json_object *all = NULL;
		const char *version;
		struct page page = { .bytes = 0 };
		CURLcode code;
		size_t digits;

		snprintf(url, sizeof(url), "%s/version", endpoint);
		code = fetch(url, &page, why);
		if (!code)
			all = json_tokener_parse(page.text);
		version = tool_text(all, "etcdserver");
		digits = strspn(version, "0123456789.");
		if (code)
			say(WARN, "etcd", "%s: %s", endpoint, why[0] ? why : curl_easy_strerror(code));
		else if (digits)
			say(OK, "etcd", "%s: version %.*s", endpoint, (int)digits, version);
		else
			say(WARN, "etcd", "%s: answers, and is no etcd", endpoint);
		json_object_put(all);
	}
}

static void check_peer(struct tool *tool, const struct farswap_node *node, const uint8_t key[FARSWAP_KEY_BYTES])
{
	union farswap_msg answer;
	struct client client;
	char what[64];

	snprintf(what, sizeof(what), "node %s", node->name);
	if (client_connect(&client, &node->addr, &tool->conf.self->addr, PEER_WAIT_MS) ||
	    client_handshake(&client, tool->conf.self->name, key) ||
	    client_hello(&client, tool->conf.self->name, tool->conf.slab_bytes, FARSWAP_WIRE_VERSION, &answer))
		say(FAIL, what, "%s: %s", farswap_addr_text(&node->addr), client.why);
	else if (strcmp(answer.hello.name, node->name))
		say(FAIL, what, "%s: calls itself '%s'", farswap_addr_text(&node->addr), answer.hello.name);
	else
		say(OK, what, "%s: protocol version %u, room for %u slabs", farswap_addr_text(&node->addr),
		    le16toh(answer.hello.version), le32toh(answer.hello.room));
	client_close(&client);
}

/* those that farswapd has from etcd and that have not left: its file need not name them */
static void check_members(struct tool *tool, const uint8_t key[FARSWAP_KEY_BYTES])
{
	struct json_object *request = json_object_new_object(), *status, *nodes;
	size_t i;
	int code;

	json_object_object_add(request, "cmd", json_object_new_string("status"));
	status = tool_ask(tool, request, &code);
	nodes = tool_get(tool_get(status, "members"), "nodes");
	if (!nodes)
		say(FAIL, "members", "farswapd does not tell which nodes it knows");
	for (i = 0; nodes && i < json_object_array_length(nodes); i++) {
		struct json_object *one = json_object_array_get_idx(nodes, i);
		struct farswap_node node = { 0 };

		snprintf(node.name, sizeof(node.name), "%s", tool_text(one, "name"));
		if (!strcmp(node.name, tool->conf.self->name) || json_object_get_boolean(tool_get(one, "left")) ||
		    farswap_addr_parse(tool_text(one, "address"), tool->conf.port, &node.addr))
			continue;
		check_peer(tool, &node, key);
	}
	json_object_put(status);
}

static void check_peers(struct tool *tool, const uint8_t key[FARSWAP_KEY_BYTES], bool runs)
{
	unsigned int i;

	if (farswap_tls_init(key, NULL) < 0) {
		say(FAIL, "TLS", "not possible with this GnuTLS");
		return;
	}
	if (tool->conf.n_etcd && runs)
		check_members(tool, key);
	for (i = 0; i < tool->conf.n_nodes && !(tool->conf.n_etcd && runs); i++)
		if (&tool->conf.nodes[i] != tool->conf.self)
			check_peer(tool, &tool->conf.nodes[i], key);
	farswap_tls_exit();
}

int cmd_check(struct tool *tool, int argc, char **argv)
{
	uint8_t key[FARSWAP_KEY_BYTES];
	char err[8192];
	bool runs;

	(void)argv;
	if (argc > 1)
		return tool_fail(EXIT_USAGE, "check takes no argument");
	json = tool->json;
	lines = json_object_new_array();
	if (farswap_conf_load(tool->config, &tool->conf, err, sizeof(err)) ||
	    farswap_conf_find_self(&tool->conf, tool->node, err, sizeof(err))) {
		say(FAIL, "config", "%s", err);
	} else {
		say(OK, "config", "%s: %u nodes, this is %s", tool->config, tool->conf.n_nodes, tool->conf.self->name);
		check_mtu(&tool->conf.self->addr);
		check_rdma(&tool->conf.self->addr);
		check_memlock(tool);
		if (tool->conf.self->lend)
			check_huge_pages();
		check_module();
		runs = check_daemon(tool);
		check_etcd(tool);
		if (check_key(tool, key))
			check_peers(tool, key, runs);
		explicit_bzero(key, sizeof(key));
	}
	if (json)
		printf("%s\n", json_object_to_json_string_ext(lines, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED));
	json_object_put(lines);
	return failed ? EXIT_FAILED : EXIT_OK;
}
