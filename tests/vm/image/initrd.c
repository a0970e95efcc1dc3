// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's first process: loads the modules in /modules by name order (those for instructions that the processor has not got tell so, ENODEV), mounts
 * /dev/vda and hands over to /sbin/farswap-init there.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

static void load(const char *name)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "/modules/%s", name);
	fd = open(path, O_RDONLY);
	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST && errno != ENODEV))
		err(1, "%s", path);
	close(fd);
}

int main(int argc, char **argv)
{
	struct dirent **list;
	int i, n, tries;

	n = scandir("/modules", &list, NULL, alphasort);
	for (i = 0; i < n; i++)
		if (list[i]->d_name[0] != '.')
			load(list[i]->d_name);
	if (mount("dev", "/dev", "devtmpfs", 0, NULL))
		err(1, "/dev");
	for (tries = 0; mount("/dev/vda", "/root", "ext4", 0, NULL); tries++) {
		if (tries == 200)
			err(1, "/dev/vda");
		usleep(50000);
	}
	umount2("/dev", MNT_DETACH);
	if (chdir("/root") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		err(1, "root");
	argv[0] = "/sbin/farswap-init";
	execv(argv[0], argv);
	err(1, "%s", argv[0]);
}
