// SPDX-License-Identifier: GPL-2.0
/* monitor SOCKET COMMAND: tells a machine's QEMU, and prints what it says when it has done it. Exits 1 if that begins with "Error". */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PROMPT	"(qemu) "

static char said[65536];

/* until it asks for the next command */
static void hear(int fd)
{
	size_t nr = 0;
	ssize_t n;

	while (nr < sizeof(PROMPT) - 1 || strcmp(said + nr - (sizeof(PROMPT) - 1), PROMPT)) {
		n = read(fd, said + nr, sizeof(said) - 1 - nr);
		if (n <= 0)
			errx(1, "QEMU is gone, or says too much");
		nr += n;
		said[nr] = 0;
	}
	said[nr - (sizeof(PROMPT) - 1)] = 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *answer;

	if (argc != 3)
		errx(1, "usage: monitor SOCKET COMMAND");
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", argv[1]);
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)))
		err(1, "%s", argv[1]);
	hear(fd);
	dprintf(fd, "%s\n", argv[2]);
	hear(fd);
	answer = strchr(said, '\n');	/* the first line is the echo of the command */
	answer = answer ? answer + 1 : said;
	fputs(answer, stdout);
	return !strncmp(answer, "Error", 5);
}
