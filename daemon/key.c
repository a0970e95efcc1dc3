// SPDX-License-Identifier: GPL-2.0
#include "key.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int check_file(int fd, const char *path, char *err, size_t size)
{
	struct stat st;

	if (fstat(fd, &st)) {
		snprintf(err, size, "%s: key file cannot be examined: %m", path);
		return -1;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(err, size, "%s: key is not a regular file", path);
		return -1;
	}
	if (st.st_uid != 0 && st.st_uid != geteuid()) {
		snprintf(err, size, "%s: key file belongs to user %u: chown it to root", path, st.st_uid);
		return -1;
	}
	if (st.st_mode & 0177) {
		snprintf(err, size, "%s: key file has mode %04o, others could read it: chmod 0600 %s", path,
			 st.st_mode & 07777, path);
		return -1;
	}
	return 0;
}

static int decode(const char *text, ssize_t length, uint8_t key[FARSWAP_KEY_BYTES])
{
	int i, high, low;

	while (length > 0 && isspace((unsigned char)text[length - 1]))
		length--;
	if (length != 2 * FARSWAP_KEY_BYTES)
		return -1;
	for (i = 0; i < FARSWAP_KEY_BYTES; i++) {
		high = hex_digit(text[2 * i]);
		low = hex_digit(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return -1;
		key[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

int farswap_key_load(const char *path, uint8_t key[FARSWAP_KEY_BYTES], char *err, size_t size)
{
	char text[128];
	ssize_t length;
	int ret = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0) {
		snprintf(err, size, "%s: key file cannot be opened: %m%s", path,
			 errno == ENOENT ? "; make one with 'farswap genkey' and copy it to every node" : "");
		return -1;
	}
	if (check_file(fd, path, err, size))
		goto out;
	length = read(fd, text, sizeof(text));
	if (length < 0) {
		snprintf(err, size, "%s: key file cannot be read: %m", path);
		goto out;
	}
	ret = decode(text, length, key);
	if (ret)
		snprintf(err, size, "%s: key file does not hold 64 hex digits (32 bytes): make one with 'farswap genkey'",
			 path);
	explicit_bzero(text, sizeof(text));
out:
	close(fd);
	return ret;
}

int farswap_key_generate(void)
{
	uint8_t key[FARSWAP_KEY_BYTES];
	int i;

	if (getrandom(key, sizeof(key), 0) != sizeof(key))
		return -EIO;
	for (i = 0; i < FARSWAP_KEY_BYTES; i++)
		printf("%02x", key[i]);
	printf("\n");
	explicit_bzero(key, sizeof(key));
	return fflush(stdout) ? -errno : 0;
}
