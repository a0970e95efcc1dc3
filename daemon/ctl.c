// SPDX-License-Identifier: GPL-2.0
/* The tool's end of the daemon's local socket, and the commands that only pass something on: up, down and sync. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

#define REPLY_BYTES	(4u << 20)

struct json_object *tool_get(struct json_object *object, const char *key)
{
	struct json_object *value;

	return object && json_object_object_get_ex(object, key, &value) ? value : NULL;
}

uint64_t tool_u64(struct json_object *object, const char *key)
{
	return json_object_get_uint64(tool_get(object, key));
}

const char *tool_text(struct json_object *object, const char *key)
{
	const char *text = json_object_get_string(tool_get(object, key));

	return text ? text : "";
}

static int connect_daemon(struct tool *tool)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int n, fd;

	n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s.sock", tool->run_dir, tool->conf.self->name);
	if (n < 0 || (size_t)n >= sizeof(address.sun_path)) {
		tool_fail(EXIT_FAILED, "%s: path is too long for a socket", tool->run_dir);
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	if (errno == EACCES || errno == EPERM)
		tool_fail(EXIT_FAILED, "%s: not permitted: be root", address.sun_path);
	else if (errno == ENOENT || errno == ECONNREFUSED)
		tool_fail(EXIT_FAILED, "farswapd of node %s does not run (%s): start it first", tool->conf.self->name,
			  address.sun_path);
	else
		tool_fail(EXIT_FAILED, "%s: %s", address.sun_path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* up to a newline or the end; NULL when there is none */
static char *read_line(int fd)
{
	char *line = malloc(REPLY_BYTES);
	size_t bytes = 0;
	ssize_t n;

	while (line && bytes < REPLY_BYTES - 1) {
		n = read(fd, line + bytes, REPLY_BYTES - 1 - bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		bytes += (size_t)n;
		if (line[bytes - 1] == '\n') {
			line[bytes] = 0;
			return line;
		}
	}
	free(line);
	return NULL;
}

static struct json_object *exchange(int fd, const char *request)
{
	struct json_object *reply = NULL;
	char *line;

	/* a daemon that refuses has said so and closed already: then nothing can be sent, but its line can be read */
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request))
		send(fd, "\n", 1, MSG_NOSIGNAL);
	line = read_line(fd);
	if (line)
		reply = json_tokener_parse(line);
	free(line);
	return reply;
}

struct json_object *tool_ask(struct tool *tool, struct json_object *request, int *code)
{
	struct json_object *reply = NULL;
	int fd;

	*code = EXIT_FAILED;
	fd = connect_daemon(tool);
	if (fd >= 0) {
		reply = exchange(fd, json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN));
		close(fd);
		if (!reply)
			tool_fail(EXIT_FAILED, "farswapd of node %s ended or closed the connection before its answer",
				  tool->conf.self->name);
	}
	json_object_put(request);
	if (!reply)
		return NULL;
	if (json_object_get_boolean(tool_get(reply, "ok"))) {
		*code = 0;
		return reply;
	}
	if (tool_u64(reply, "code"))
		*code = (int)tool_u64(reply, "code");
	tool_fail((enum exit_code)*code, "%s", tool_text(reply, "error"));
	json_object_put(reply);
	return NULL;
}

static int run(char *const argv[])
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return tool_fail(EXIT_FAILED, "%s not started: %s", argv[0], strerror(errno));
	if (!pid) {
		execvp(argv[0], argv);
		fprintf(stderr, "farswap: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return tool_fail(EXIT_FAILED, "%s: %s", argv[0], strerror(errno));
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	return tool_fail(EXIT_FAILED, "%s %s failed", argv[0], argv[1]);
}

struct up_options {
	uint64_t size, copies;
	bool swapon;
	const char *priority;
};

/* udev or devtmpfs may take a moment to make the node */
static int wait_for_node(const char *path)
{
	struct timespec moment = { .tv_nsec = 50000000 };
	int i;

	for (i = 0; i < 100; i++) {
		if (!access(path, F_OK))
			return 0;
		nanosleep(&moment, NULL);
	}
	return tool_fail(EXIT_FAILED, "%s does not appear", path);
}

static int swap_on(const char *device, const struct up_options *options)
{
	char path[64];
	char *mkswap[] = { "mkswap", path, NULL };
	char *swapon[] = { "swapon", path, NULL, NULL, NULL };

	snprintf(path, sizeof(path), "/dev/%s", device);
	if (!options->swapon) {
		printf("%s is there. To use it as swap:\n  mkswap %s\n  swapon%s%s %s\n", path, path,
		       options->priority ? " -p " : "", options->priority ? options->priority : "", path);
		return 0;
	}
	if (options->priority) {
		swapon[1] = "-p";
		swapon[2] = (char *)options->priority;
		swapon[3] = path;
	}
	fflush(stdout);
	if (wait_for_node(path) || run(mkswap) || run(swapon))
		return EXIT_FAILED;
	printf("%s is in use as swap\n", path);
	return 0;
}

static int parse_up(int argc, char **argv, struct up_options *options)
{
	static const struct option longs[] = {
		{ "size", required_argument, NULL, 's' },
		{ "copies", required_argument, NULL, 'c' },
		{ "swapon", no_argument, NULL, 'o' },
		{ "priority", required_argument, NULL, 'p' },
		{ 0 }
	};
	uint64_t number;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			if (farswap_parse_bytes(optarg, &options->size) || !options->size)
				return tool_fail(EXIT_USAGE, "--size %s is not a size", optarg);
			break;
		case 'c':
			if (farswap_parse_u64(optarg, 4, &options->copies) || !options->copies)
				return tool_fail(EXIT_USAGE, "--copies %s is out of range: 1 to 4", optarg);
			break;
		case 'o':
			options->swapon = true;
			break;
		case 'p':
			if (farswap_parse_u64(optarg, 32767, &number))
				return tool_fail(EXIT_USAGE, "--priority %s is out of range: 0 to 32767", optarg);
			options->priority = optarg;
			break;
		default:
			return EXIT_USAGE;
		}
	}
	return 0;
}

static struct json_object *request_for(const char *cmd, const char *device)
{
	struct json_object *request = json_object_new_object();

	json_object_object_add(request, "cmd", json_object_new_string(cmd));
	json_object_object_add(request, "device", json_object_new_string(device));
	return request;
}

static int take_down(struct tool *tool, const char *device)
{
	struct json_object *reply;
	int code;

	reply = tool_ask(tool, request_for("down", device), &code);
	if (reply && *tool_text(reply, "notice"))
		fprintf(stderr, "farswap: %s\n", tool_text(reply, "notice"));
	json_object_put(reply);
	return code;
}

int cmd_up(struct tool *tool, int argc, char **argv)
{
	struct up_options options = { 0 };
	struct json_object *request, *reply;
	const char *device;
	int code = parse_up(argc, argv, &options);

	if (code)
		return code;
	if (optind != argc - 1)
		return tool_fail(EXIT_USAGE, "up wants one device name, like farswap0");
	device = tool_device(argv[optind]);
	if (!device)
		return tool_fail(EXIT_USAGE, "'%s' is no device name: a letter, then letters and digits, like farswap0",
				 argv[optind]);
	code = tool_conf(tool);
	if (code)
		return code;
	request = request_for("up", device);
	if (options.size)
		json_object_object_add(request, "size", json_object_new_uint64(options.size));
	if (options.copies)
		json_object_object_add(request, "copies", json_object_new_uint64(options.copies));
	reply = tool_ask(tool, request, &code);
	if (!reply)
		return code;
	if (*tool_text(reply, "notice"))
		fprintf(stderr, "farswap: not used: %s\n", tool_text(reply, "notice"));
	json_object_put(reply);
	code = swap_on(device, &options);
	if (code)
		take_down(tool, device);	/* nothing is left of an `up` that failed */
	return code;
}

static int parse_down(int argc, char **argv, bool *swapoff, uint64_t *timeout)
{
	static const struct option longs[] = {
		{ "swapoff", no_argument, NULL, 'o' },
		{ "timeout", required_argument, NULL, 't' },
		{ 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'o')
			*swapoff = true;
		else if (c != 't')
			return EXIT_USAGE;
		else if (farswap_parse_u64(optarg, 86400, timeout) || !*timeout)
			return tool_fail(EXIT_USAGE, "--timeout %s is out of range: 1 to 86400 seconds", optarg);
	}
	return *timeout && !*swapoff ? tool_fail(EXIT_USAGE, "--timeout goes with --swapoff") : 0;
}

int cmd_down(struct tool *tool, int argc, char **argv)
{
	const char *device;
	uint64_t timeout = 0;
	bool swapoff = false;
	int code = parse_down(argc, argv, &swapoff, &timeout);

	if (code)
		return code;
	device = optind == argc - 1 ? tool_device(argv[optind]) : NULL;
	if (!device)
		return tool_fail(EXIT_USAGE, "down wants one device name, like farswap0");
	code = tool_conf(tool);
	/* first, and without the daemon: a shutdown needs it even when no daemon is left for the rest */
	if (!code && swapoff)
		code = tool_swapoff(device, (unsigned int)timeout);
	return code ? code : take_down(tool, device);
}

int cmd_sync(struct tool *tool, int argc, char **argv)
{
	struct json_object *request = json_object_new_object(), *reply;
	int code;

	(void)argv;
	if (argc > 1)
		return tool_fail(EXIT_USAGE, "sync takes no argument: it is for the farswapd of this node");
	code = tool_conf(tool);
	if (code)
		return code;
	json_object_object_add(request, "cmd", json_object_new_string("sync"));
	reply = tool_ask(tool, request, &code);
	if (reply)
		printf("%s\n", tool_text(reply, "notice"));
	json_object_put(reply);
	return code;
}
