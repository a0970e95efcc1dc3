// SPDX-License-Identifier: GPL-2.0
/* farswap, the tool: options, and which command it is. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "key.h"
#include "log.h"
#include "tool.h"

static const struct {
	const char *name;
	int (*run)(struct tool *tool, int argc, char **argv);
} commands[] = {
	{ "up",		cmd_up },
	{ "down",	cmd_down },
	{ "drain",	cmd_drain },
	{ "sync",	cmd_sync },
	{ "show",	cmd_show },
	{ "audit",	cmd_audit },
	{ "map",	cmd_map },
	{ "bring",	cmd_bring },
	{ "check",	cmd_check },
};

static void usage(FILE *to)
{
	fprintf(to,
		"usage: farswap [options]                 show the device, its peers and the slabs lent\n"
		"       farswap up DEV [--size N] [--copies 1..4] [--swapon [--priority N]]\n"
		"                                         bring up /dev/DEV on donors of the cluster\n"
		"       farswap down DEV [--swapoff [--timeout SECONDS]]\n"
		"                                         take it down; swapped on only with --swapoff, refused while\n"
		"                                         a page has no readable copy\n"
		"       farswap drain NODE [--deadline SECONDS | --cancel]\n"
		"                                         on that node: have all that it lends moved away; it lends\n"
		"                                         no more until farswapd is started anew, or --cancel\n"
		"       farswap sync                      have farswapd of this node read cluster.conf anew\n"
		"       farswap audit DEV                 read every page from each donor and verify it\n"
		"       farswap map DEV                   where each page lies\n"
		"       farswap bring --pid PID | --cgroup PATH [--rate MIB_PER_S]\n"
		"                                         bring back pages in swap; stops when memory gets short\n"
		"       farswap check                     look at what goes wrong first\n"
		"       farswap genkey                    print a fresh key for the cluster\n"
		"options, anywhere: -j|--json  --config FILE (%s)  --node NAME\n"
		"       --run-dir DIR (%s)  --version  --help\n"
		"Sizes take K, M, G or T. Exit codes: 0 done; 1 refused or failed; 2 wrong usage;\n"
		"3 audit found a page with a copy that is bad, missing or unread; 4 bring left pages in swap,\n"
		"for want of memory.\n",
		FARSWAP_CONF_PATH, FARSWAP_RUN_DIR);
}

int tool_fail(enum exit_code code, const char *format, ...)
{
	char line[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fflush(stdout);
	fprintf(stderr, "farswap: %s\n", line);
	return code;
}

int tool_conf(struct tool *tool)
{
	char err[8192];

	if (farswap_conf_load(tool->config, &tool->conf, err, sizeof(err)) ||
	    farswap_conf_find_self(&tool->conf, tool->node, err, sizeof(err)))
		return tool_fail(EXIT_FAILED, "%s", err);
	return 0;
}

const char *tool_device(const char *arg)
{
	if (!strncmp(arg, "/dev/", 5))
		arg += 5;
	return farswap_device_name_ok(arg) ? arg : NULL;
}

/* the options of all commands, taken out of argv wherever they stand; 0, or -1 for wrong usage */
static int take_options(struct tool *tool, int *argc, char **argv)
{
	int from, to = 1;

	for (from = 1; from < *argc; from++) {
		const char **value = NULL;

		if (!strcmp(argv[from], "-j") || !strcmp(argv[from], "--json")) {
			tool->json = true;
			continue;
		}
		if (!strcmp(argv[from], "--config"))
			value = &tool->config;
		else if (!strcmp(argv[from], "--node"))
			value = &tool->node;
		else if (!strcmp(argv[from], "--run-dir"))
			value = &tool->run_dir;
		if (!value) {
			argv[to++] = argv[from];
			continue;
		}
		if (++from == *argc)
			return -1;
		*value = argv[from];
	}
	*argc = to;
	argv[to] = NULL;
	return 0;
}

static int genkey(void)
{
	return farswap_key_generate() ? tool_fail(EXIT_FAILED, "no key: no random numbers, or output not writable") : 0;
}

int main(int argc, char **argv)
{
	static struct tool tool = { .config = FARSWAP_CONF_PATH, .run_dir = FARSWAP_RUN_DIR };
	const char *command;
	size_t i;

	farswap_log_start("farswap", NULL);
	if (take_options(&tool, &argc, argv)) {
		usage(stderr);
		return EXIT_USAGE;
	}
	command = argc > 1 ? argv[1] : "show";
	if (!strcmp(command, "--help") || !strcmp(command, "-h") || !strcmp(command, "help")) {
		usage(stdout);
		return 0;
	}
	if (!strcmp(command, "--version")) {
		printf("farswap %s\n", FARSWAP_VERSION);
		return 0;
	}
	if (!strcmp(command, "genkey"))
		return genkey();
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(command, commands[i].name))
			return commands[i].run(&tool, argc > 1 ? argc - 1 : argc, argc > 1 ? argv + 1 : argv);
	usage(stderr);
	return EXIT_USAGE;
}
