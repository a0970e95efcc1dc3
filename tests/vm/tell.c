// SPDX-License-Identifier: GPL-2.0
/*
 * tell [-i] DIR SECONDS COMMAND: runs a shell command in the guest whose agent ports are DIR/port*,
 * passes its output on as it comes (with -i also our input to it) and exits with its code.
 * Exits 124 when the time is over and 125 when the guest is gone.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "frame.h"

#define TIMED_OUT	124
#define GUEST_GONE	125
#define BEGIN_MS	20000	/* an agent that has not taken the command by then does not listen: another port is tried */

static const char *dir, *command;
static int sock;
static bool begun;

static void timed_out(int sig)
{
	(void)sig;
	dprintf(2, "%s: no %s after its time: %.200s\n", dir, begun ? "end" : "beginning", command);
	_exit(TIMED_OUT);
}

static void gone(void)
{
	dprintf(2, "%s: the guest is gone: %.200s\n", dir, command);
	exit(GUEST_GONE);
}

static void put(int fd, const void *data, size_t len)
{
	const char *p = data;
	ssize_t n;

	while (len) {
		n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (fd == sock)
				gone();
			exit(1);
		}
		p += n;
		len -= n;
	}
}

static void get(void *data, size_t len)
{
	char *p = data;
	ssize_t n;

	while (len) {
		n = read(sock, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			gone();
		p += n;
		len -= n;
	}
}

static void send_frame(unsigned char type, const void *data, uint32_t len)
{
	struct frame f = { .type = type, .len = len };

	put(sock, &f, sizeof(f));
	put(sock, data, len);
}

/* Takes a port that no tell uses; the lock goes with this process. */
static void connect_any(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char pattern[200], lock[300];
	glob_t g;
	size_t i;
	int fd;

	snprintf(pattern, sizeof(pattern), "%s/port[0-9]", dir);
	for (;; usleep(50000)) {
		if (glob(pattern, 0, NULL, &g))
			gone();
		for (i = 0; i < g.gl_pathc; i++) {
			snprintf(lock, sizeof(lock), "%s.lock", g.gl_pathv[i]);
			fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
			if (fd < 0)
				gone();
			if (!flock(fd, LOCK_EX | LOCK_NB)) {
				snprintf(a.sun_path, sizeof(a.sun_path), "%s", g.gl_pathv[i]);
				sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
				if (sock < 0 || connect(sock, (struct sockaddr *)&a, sizeof(a)))
					gone();
				globfree(&g);
				return;
			}
			close(fd);
		}
		globfree(&g);
	}
}

/* The agent has echoed the nonce: what it said before is of another command. False: it does not. */
static bool echoed(const unsigned char *nonce)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	unsigned char seen[FRAME_NONCE];

	if (poll(&p, 1, BEGIN_MS) == 0)
		return false;
	get(seen, FRAME_NONCE);
	while (memcmp(seen, nonce, FRAME_NONCE)) {
		memmove(seen, seen + 1, FRAME_NONCE - 1);
		get(seen + FRAME_NONCE - 1, 1);
	}
	return true;
}

static void start(void)
{
	unsigned char first[FRAME_MAX];
	size_t len = strlen(command);

	if (FRAME_NONCE + len >= sizeof(first))
		errx(1, "the command is too long: push it as a file");
	if (getrandom(first, FRAME_NONCE, 0) != FRAME_NONCE)
		err(1, "getrandom");
	memcpy(first + FRAME_NONCE, command, len);
	for (;;) {
		connect_any();
		send_frame(FRAME_COMMAND, first, FRAME_NONCE + len);
		if (echoed(first))
			break;
		dprintf(2, "%s: an agent does not listen, another is told\n", dir);
		close(sock);	/* its lock is held, so it is left alone until our end */
	}
	begun = true;
}

static void from_guest(void)
{
	unsigned char buf[FRAME_MAX];
	struct frame f;

	get(&f, sizeof(f));
	if (f.len > sizeof(buf))
		errx(GUEST_GONE, "%s: the agent sent nonsense", dir);
	get(buf, f.len);
	if (f.type == FRAME_EXIT)
		exit(buf[0]);
	put(f.type == FRAME_ERR ? 2 : 1, buf, f.len);
}

int main(int argc, char **argv)
{
	bool input = argc > 1 && !strcmp(argv[1], "-i");
	unsigned char buf[FRAME_MAX / 2];
	ssize_t n;

	argv += input;
	if (argc - input != 4)
		errx(1, "usage: tell [-i] DIR SECONDS COMMAND");
	dir = argv[1];
	command = argv[3];
	signal(SIGALRM, timed_out);
	signal(SIGPIPE, SIG_IGN);
	alarm(atoi(argv[2]) > 0 ? atoi(argv[2]) : 1);
	start();
	if (!input)
		send_frame(FRAME_IN, NULL, 0);
	for (;;) {
		struct pollfd p[] = {
			{ .fd = sock, .events = POLLIN }, { .fd = input ? 0 : -1, .events = POLLIN },
		};

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			err(1, "poll");
		if (p[0].revents)
			from_guest();
		if (p[1].revents) {
			n = read(0, buf, sizeof(buf));
			send_frame(FRAME_IN, buf, n > 0 ? n : 0);
			input = n > 0;
		}
	}
}
