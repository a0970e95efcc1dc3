// SPDX-License-Identifier: GPL-2.0
/* farswapd: one per node, donor and manager in one process. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "device.h"
#include "donor.h"
#include "farswapd.h"
#include "handover.h"
#include "harden.h"
#include "kernel.h"
#include "lender.h"
#include "link.h"
#include "listen.h"
#include "local.h"
#include "log.h"
#include "members.h"
#include "poison.h"
#include "push.h"
#include "rdma.h"
#include "session.h"
#include "stall.h"
#include "sync.h"
#include "tls.h"
#include "unique.h"

struct farswapd farswapd = { .run_dir = FARSWAP_RUN_DIR };

struct options {
	const char *config;
	const char *node;
	bool check_only;
};

static void usage(FILE *to)
{
	fprintf(to,
		"usage: farswapd [--config FILE] [--node NAME] [--run-dir DIR] [--check-config]\n"
		"  --config FILE    the cluster's configuration (%s)\n"
		"  --node NAME      which of its nodes this is (by host name, else by local address)\n"
		"  --run-dir DIR    where the local control socket lies (%s)\n"
		"  --check-config   read configuration and key, say whether they are good, and exit\n"
		"  --version, --help\n"
		"Exit codes: 0 ended by a signal, or configuration good; 1 failed; 2 wrong usage.\n",
		FARSWAP_CONF_PATH, FARSWAP_RUN_DIR);
}

static void parse_options(int argc, char **argv, struct options *options)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "node", required_argument, NULL, 'n' },
		{ "run-dir", required_argument, NULL, 'r' },
		{ "check-config", no_argument, NULL, 'k' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int c;

	options->config = FARSWAP_CONF_PATH;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			options->config = optarg;
			break;
		case 'n':
			options->node = optarg;
			break;
		case 'r':
			farswapd.run_dir = optarg;
			break;
		case 'k':
			options->check_only = true;
			break;
		case 'v':
			printf("farswapd %s\n", FARSWAP_VERSION);
			exit(0);
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind < argc) {
		usage(stderr);
		exit(2);
	}
}

static int read_config(const struct options *options)
{
	char err[8192];

	if (farswap_conf_load(options->config, &farswapd.conf, err, sizeof(err)) ||
	    farswap_conf_find_self(&farswapd.conf, options->node, err, sizeof(err)) ||
	    farswap_key_load(farswapd.conf.key_path, farswapd.key, err, sizeof(err))) {
		farswap_log("%s", err);
		return -1;
	}
	farswapd.self = farswapd.conf.self;
	return 0;
}

/* with an engine those of other groups are not known here, and may be clients all the same: the key says who belongs to the cluster */
static bool knows_node(const char *name)
{
	return farswapd.conf.n_etcd || farswap_conf_node(&farswapd.conf, name);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *arg)
{
	(void)source;
	(void)arg;
	farswap_log("ending on signal %u", info->ssi_signo);
	sd_notify(0, "STOPPING=1");
	return sd_event_exit(farswapd.loop, 0);
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *arg)
{
	char text[4096];

	(void)source;
	(void)info;
	(void)arg;
	sync_conf(text, sizeof(text));
	return 0;
}

static int make_loop(void)
{
	sigset_t set;
	int ret = sd_event_default(&farswapd.loop);

	if (ret < 0)
		return ret;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	ret = sd_event_add_signal(farswapd.loop, NULL, SIGTERM, on_signal, NULL);
	if (ret < 0)
		return ret;
	ret = sd_event_add_signal(farswapd.loop, NULL, SIGHUP, on_hangup, NULL);
	if (ret < 0)
		return ret;
	return sd_event_add_signal(farswapd.loop, NULL, SIGINT, on_signal, NULL);
}

/* one line for whatever fails */
static int start(void)
{
	int ret;

	farswapd.incarnation = farswap_unique();
	ret = farswap_boot_id(farswapd.boot_id);
	if (ret) {
		farswap_log("/proc/sys/kernel/random/boot_id: %s", strerror(-ret));
		return -1;
	}
	ret = make_loop();
	if (ret < 0) {
		farswap_log("no event loop: %s", strerror(-ret));
		return -1;
	}
	ret = farswap_tls_init(farswapd.key, knows_node);
	if (ret < 0) {
		farswap_log("TLS not possible: %s", gnutls_strerror(ret));
		return -1;
	}
	harden();
	ret = poison_init(farswapd.loop);
	if (ret < 0) {
		farswap_log("no event source: %s", strerror(-ret));
		return -1;
	}
	ret = listen_init();
	if (ret < 0) {
		farswap_log("cannot listen on %s port %u: %s%s", farswap_addr_text(&farswapd.self->addr),
			    farswapd.conf.port, strerror(-ret),
			    ret == -EADDRINUSE ? ": does a farswapd of this node run already?" : "");
		return -1;
	}
	rdma_init();
	ret = session_init(farswapd.conf.lease_s * 1000000000ull);
	if (ret < 0) {
		farswap_log("no event source: %s", strerror(-ret));
		return -1;
	}
	handover_take();
	ret = lender_init();
	if (ret < 0) {
		farswap_log("no event source: %s", strerror(-ret));
		return -1;
	}
	ret = kernel_init();
	if (ret < 0) {
		farswap_log("no thread for the kernel module: %s", strerror(-ret));
		return -1;
	}
	link_init();
	ret = local_prepare();
	if (ret)
		return -1;
	if (members_init())
		return -1;
	ret = device_init();	/* the donors of a device that is up are known by now */
	if (ret < 0) {
		farswap_log("no event source: %s", strerror(-ret));
		return -1;
	}
	/* last: whoever sees the socket may count on all the rest */
	return local_init();
}

/* the device, if there is one, is left as it is: its I/O does not need this process */
static void end(bool again)
{
	local_exit();
	listen_exit();
	link_exit();
	donor_exit();
	lender_exit();
	members_exit(handover_give() || again);
	session_close_all("farswapd ends");
	session_exit();
	push_exit();
	rdma_exit();
	kernel_exit();
	device_exit();
	poison_exit();
	farswap_tls_exit();
	farswapd.loop = sd_event_unref(farswapd.loop);
	explicit_bzero(farswapd.key, sizeof(farswapd.key));
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	int ret = -1;

	parse_options(argc, argv, &options);
	farswap_log_start("farswapd", NULL);
	if (read_config(&options))
		return 1;
	if (options.check_only) {
		printf("%s: OK, %u nodes, this is %s\n", options.config, farswapd.conf.n_nodes, farswapd.self->name);
		return 0;
	}
	farswap_log_start("farswapd", farswapd.self->name);
	if (!start()) {
		farswap_log("ready on %s port %u, lends %u slabs of %llu MiB", farswap_addr_text(&farswapd.self->addr),
			    farswapd.conf.port, farswapd.self->lend,
			    (unsigned long long)(farswapd.conf.slab_bytes >> 20));
		sd_notify(0, "READY=1");
		ret = sd_event_loop(farswapd.loop);
	}
	end(ret == FARSWAPD_ANEW);
	farswap_stalls_tell();
	if (ret == FARSWAPD_ANEW) {
		execv("/proc/self/exe", argv);
		farswap_log("not started again: %s", strerror(errno));
	}
	return ret != 0;
}
