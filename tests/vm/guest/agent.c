// SPDX-License-Identifier: GPL-2.0
/*
 * agent PORT: runs in a guest and serves one virtio-serial port: one shell command at a time, for
 * tests/vm/tell.c on the host. tests/vm/frame.h has the protocol.
 *
 * The command runs in a session of its own. It is over when its shell has ended, whatever that left
 * in the background; if the host hangs up first, or sends the next command, its group is killed.
 *
 * That one tell hung up and the next called comes through another queue than what they say, and may come
 * later: a command may be here before the hanging-up that was before it. So the host is gone only when it
 * has been for a while.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../frame.h"

#define GONE_MS	2000
#define LOOK_MS	50
#define LISTENS_MS	15000	/* of a host that is there; less than BEGIN_MS of tell.c */

static int port;
static int sigfd;
static pid_t child;
static int in = -1, out = -1, errs = -1;
static unsigned char buf[FRAME_MAX];

/*
 * This and the next say false when the host has hung up. In the midst of a frame that is not believed at once: its first part may be
 * here before the host's coming is, and without that a read of the rest ends with nothing.
 */
static bool port_read(void *data, size_t len, bool begun)
{
	int left_ms = GONE_MS;
	char *p = data;
	ssize_t n;

	while (len) {
		n = read(port, p, len);
		if (n > 0) {
			p += n;
			len -= n;
			begun = true;
		} else if (n == 0 || errno != EINTR) {
			if (!begun || left_ms <= 0)
				return false;
			usleep(LOOK_MS * 1000);
			left_ms -= LOOK_MS;
		}
	}
	return true;
}

static bool port_write(const void *data, size_t len)
{
	const char *p = data;
	ssize_t n;

	while (len) {
		n = write(port, p, len);
		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			p += n;
			len -= n;
		}
	}
	return true;
}

/*
 * QEMU says that the host has come only if there is room among what it has to say (32 of the kernel's places), else never: what is
 * written would wait for the next tell and the command begin then. So it is dropped; that tell tries another port.
 */
static bool host_listens(void)
{
	struct pollfd p = { .fd = port, .events = POLLOUT };
	int left_ms;

	for (left_ms = LISTENS_MS; left_ms > 0; left_ms -= LOOK_MS) {
		if (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT))
			return true;
		usleep(LOOK_MS * 1000);
	}
	return false;
}

static bool send_frame(unsigned char type, const void *data, uint32_t len)
{
	struct frame f = { .type = type, .len = len };

	return port_write(&f, sizeof(f)) && port_write(data, len);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void stop(void)
{
	if (child) {
		kill(-child, SIGKILL);
		waitpid(child, NULL, 0);
		child = 0;
	}
	close_fd(&in);
	close_fd(&out);
	close_fd(&errs);
}

static void start(char *command)
{
	int i[2], o[2], e[2];
	sigset_t none;

	if (pipe2(i, O_CLOEXEC) || pipe2(o, O_CLOEXEC) || pipe2(e, O_CLOEXEC))
		err(1, "pipe");
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (!child) {
		FILE *oom = fopen("/proc/self/oom_score_adj", "w");

		if (oom) {
			fputs("0", oom);
			fclose(oom);
		}
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		setsid();
		dup2(i[0], 0);
		dup2(o[1], 1);
		dup2(e[1], 2);
		execl("/bin/bash", "bash", "-c", command, (char *)NULL);
		err(127, "/bin/bash");
	}
	close(i[0]);
	close(o[1]);
	close(e[1]);
	in = i[1];
	out = o[0];
	errs = e[0];
	fcntl(out, F_SETFL, O_NONBLOCK);
	fcntl(errs, F_SETFL, O_NONBLOCK);
}

/* Passes on what the command wrote; false if the host is gone. */
static bool pump(int *fd, unsigned char type)
{
	ssize_t n;

	while (*fd >= 0) {
		n = read(*fd, buf, sizeof(buf));
		if (n < 0)
			return true;
		if (n == 0)
			close_fd(fd);
		else if (!send_frame(type, buf, n))
			return false;
	}
	return true;
}

/* One frame from the host; false if it is gone. */
static bool from_host(void)
{
	struct frame f;
	size_t done;
	ssize_t n;

	if (!port_read(&f, sizeof(f), false) || f.len >= FRAME_MAX || !port_read(buf, f.len, true))
		return false;
	buf[f.len] = 0;
	if (f.type == FRAME_COMMAND && f.len > FRAME_NONCE) {
		stop();
		if (!host_listens() || !port_write(buf, FRAME_NONCE))
			return false;
		start((char *)buf + FRAME_NONCE);
	} else if (f.type == FRAME_IN && f.len == 0) {
		close_fd(&in);
	} else if (f.type == FRAME_IN && in >= 0) {
		for (done = 0; done < f.len; done += n) {
			n = write(in, buf + done, f.len - done);
			if (n < 0) {
				close_fd(&in);
				break;
			}
		}
	}
	return true;
}

/* The command has ended: the rest of its output, then its exit code. */
static bool finish(void)
{
	int status;
	unsigned char code;

	if (!child || waitpid(child, &status, WNOHANG) != child)
		return true;
	child = 0;
	code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	if (!pump(&out, FRAME_OUT) || !pump(&errs, FRAME_ERR))
		return false;
	stop();
	return send_frame(FRAME_EXIT, &code, 1);
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Until something changes at the port: poll() would come back at once, with POLLHUP, as long as the host is away. */
static int edge_open(void)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET };
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, port, &e))
		err(1, "epoll");
	return fd;
}

int main(int argc, char **argv)
{
	struct signalfd_siginfo si;
	struct epoll_event e;
	long gone_ms = 0;
	sigset_t chld;
	int edge;
	bool ok;

	if (argc != 2)
		errx(1, "usage: agent PORT");
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	sigfd = signalfd(-1, &chld, SFD_NONBLOCK | SFD_CLOEXEC);
	port = open(argv[1], O_RDWR | O_CLOEXEC);
	if (port < 0 || sigfd < 0)
		err(1, "%s", argv[1]);
	edge = edge_open();
	mlockall(MCL_CURRENT | MCL_FUTURE);
	for (;;) {
		struct pollfd p[] = {
			{ .fd = port, .events = POLLIN }, { .fd = sigfd, .events = POLLIN },
			{ .fd = out, .events = POLLIN }, { .fd = errs, .events = POLLIN },
		};

		if (poll(p, 4, child ? 1000 : -1) < 0 && errno != EINTR)
			err(1, "poll");
		ok = true;
		if (p[0].revents & POLLIN)
			ok = from_host();
		else if (p[0].revents & POLLHUP)
			ok = false;
		while (read(sigfd, &si, sizeof(si)) > 0)
			;
		ok = ok && pump(&out, FRAME_OUT) && pump(&errs, FRAME_ERR) && finish();
		if (ok) {
			gone_ms = 0;
			continue;
		}
		if (!gone_ms)
			gone_ms = now_ms();
		if (now_ms() - gone_ms >= GONE_MS)
			stop();
		epoll_wait(edge, &e, 1, child ? LOOK_MS : -1);
	}
}
