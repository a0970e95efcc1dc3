// SPDX-License-Identifier: GPL-2.0
/*
 * fdkeep PIDFILE COMMAND...: starts it and keeps its descriptors, as systemd's file descriptor store does (FDSTORE, FDSTOREREMOVE, FDNAME and
 * BARRIER of sd_notify(3), LISTEN_FDS and LISTEN_FDNAMES for the next one). SIGHUP: a planned restart. It is started again, too, when it
 * is killed. SIGTERM ends both. Its process id is in PIDFILE. Two ways to keep badly, asked for by a word in PIDFILE.spoil:
 *
 *   flip   one bit of the last descriptor is another one when it is handed over the next time
 *   keep   FDSTOREREMOVE is ignored
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define FDS	64
#define FIRST	3	/* as LISTEN_FDS has it */
#define ABOVE	100	/* out of the way of those */

static struct { int fd; char name[64]; } kept[FDS];
static int nr_kept;
static const char *pid_file;
static char socket_name[64];
static int sock;
static pid_t child;

static void fatal(const char *what)
{
	fprintf(stderr, "fdkeep: %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool spoiled(const char *how)
{
	char path[256], word[16] = "";
	FILE *f;

	snprintf(path, sizeof(path), "%s.spoil", pid_file);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(word, sizeof(word), f))
		word[0] = 0;
	fclose(f);
	return !strncmp(word, how, strlen(how));
}

static void flip(int fd)
{
	unsigned char byte;
	struct stat st;

	if (fstat(fd, &st) || pread(fd, &byte, 1, st.st_size / 2) != 1)
		fatal("nothing to flip");
	byte ^= 1;
	if (pwrite(fd, &byte, 1, st.st_size / 2) != 1)
		fatal("flip");
	fprintf(stderr, "fdkeep: a bit of %s is flipped\n", kept[nr_kept - 1].name);
}

static void hand_over(void)
{
	char names[FDS * 64] = "", text[32];
	int i;

	if (nr_kept && spoiled("flip"))
		flip(kept[nr_kept - 1].fd);
	for (i = 0; i < nr_kept; i++) {
		if (dup2(kept[i].fd, FIRST + i) < 0)
			fatal("dup2");
		sprintf(names + strlen(names), "%s%s", i ? ":" : "", kept[i].name);
	}
	if (!nr_kept)
		return;
	snprintf(text, sizeof(text), "%d", nr_kept);
	setenv("LISTEN_FDS", text, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	snprintf(text, sizeof(text), "%d", getpid());
	setenv("LISTEN_PID", text, 1);
}

static void start(char **argv)
{
	sigset_t none;
	FILE *f;

	child = fork();
	if (child < 0)
		fatal("fork");
	if (!child) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		setenv("NOTIFY_SOCKET", socket_name, 1);
		hand_over();
		execvp(argv[0], argv);
		fatal(argv[0]);
	}
	f = fopen(pid_file, "w");
	if (!f || fprintf(f, "%d\n", child) < 0 || fclose(f))
		fatal(pid_file);
}

static void forget(const char *name)
{
	int i, n = 0;

	for (i = 0; i < nr_kept; i++) {
		if (!strcmp(kept[i].name, name))
			close(kept[i].fd);
		else
			kept[n++] = kept[i];
	}
	nr_kept = n;
}

static bool says(const char *text, const char *line)
{
	const char *at = strstr(text, line);
	size_t n = strlen(line);

	return at && (at == text || at[-1] == '\n') && (!at[n] || at[n] == '\n');
}

static void on_message(void)
{
	char text[4096], control[CMSG_SPACE(sizeof(int) * FDS)], name[64] = "unknown", *at;
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t bytes = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *cmsg;
	int fds[FDS], n = 0, i;

	if (bytes < 0)
		return;
	text[bytes] = 0;
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(cmsg), n * sizeof(int));
	}
	at = strstr(text, "FDNAME=");
	if (at)
		sscanf(at + 7, "%63[^\n]", name);
	if (says(text, "FDSTOREREMOVE=1") && !spoiled("keep"))
		forget(name);
	for (i = 0; i < n; i++) {
		if (says(text, "FDSTORE=1") && nr_kept < FDS) {
			kept[nr_kept].fd = fcntl(fds[i], F_DUPFD_CLOEXEC, ABOVE);
			strcpy(kept[nr_kept++].name, name);
		}
		close(fds[i]);	/* for BARRIER, that is the answer */
	}
}

/* what it said before it ended counts */
static void wait_for_end(void)
{
	struct pollfd p = { sock, POLLIN, 0 };

	while (waitpid(child, NULL, WNOHANG) == 0)
		if (poll(&p, 1, 50) > 0)
			on_message();
	while (poll(&p, 1, 0) > 0)
		on_message();
}

int main(int argc, char **argv)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct signalfd_siginfo info;
	struct pollfd polls[2];
	sigset_t set;
	int signals;

	if (argc < 3) {
		fprintf(stderr, "usage: fdkeep PIDFILE COMMAND...\n");
		return 2;
	}
	pid_file = argv[1];
	snprintf(socket_name, sizeof(socket_name), "@fdkeep-%d", getpid());
	strcpy(addr.sun_path + 1, socket_name + 1);
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || bind(sock, (struct sockaddr *)&addr, offsetof(struct sockaddr_un, sun_path) + strlen(socket_name)))
		fatal("socket");
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	/* out of the way of what is handed over */
	sock = fcntl(sock, F_DUPFD_CLOEXEC, ABOVE);
	signals = fcntl(signals, F_DUPFD_CLOEXEC, ABOVE);
	start(argv + 2);
	polls[0] = (struct pollfd){ sock, POLLIN, 0 };
	polls[1] = (struct pollfd){ signals, POLLIN, 0 };
	for (;;) {
		if (poll(polls, 2, -1) < 0)
			continue;
		if (polls[0].revents)
			on_message();
		if (!polls[1].revents || read(signals, &info, sizeof(info)) != sizeof(info))
			continue;
		if (info.ssi_signo == SIGCHLD && waitpid(child, NULL, WNOHANG) != child)
			continue;
		if (info.ssi_signo != SIGCHLD) {
			kill(child, SIGTERM);
			wait_for_end();
		}
		if (info.ssi_signo == SIGTERM)
			return 0;
		start(argv + 2);
	}
}
