// SPDX-License-Identifier: GPL-2.0
/* CRC-32C (Castagnoli, reflected polynomial 0x82f63b78, RFC 3720 B.4), no final inversion, as the kernel's crc32c(). */
#include <string.h>

#include "crc32c.h"

static uint32_t table[8][256];

static void fill_table(void)
{
	uint32_t i, j;

	for (i = 0; i < 256; i++) {
		table[0][i] = i;
		for (j = 0; j < 8; j++)
			table[0][i] = table[0][i] >> 1 ^ (table[0][i] & 1 ? 0x82f63b78 : 0);
	}
	for (j = 1; j < 8; j++)
		for (i = 0; i < 256; i++)
			table[j][i] = table[j - 1][i] >> 8 ^ table[0][table[j - 1][i] & 0xff];
}

uint32_t fsw_crc32c_by_table(uint32_t crc, const void *p, size_t n)
{
	const uint8_t *b = p;

	if (!table[0][1])
		fill_table();
	for (; n >= 8; n -= 8, b += 8) {	/* slicing by 8 */
		crc ^= b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
		crc = table[7][crc & 0xff] ^ table[6][crc >> 8 & 0xff] ^ table[5][crc >> 16 & 0xff] ^ table[4][crc >> 24] ^
		      table[3][b[4]] ^ table[2][b[5]] ^ table[1][b[6]] ^ table[0][b[7]];
	}
	while (n--)
		crc = crc >> 8 ^ table[0][(crc ^ *b++) & 0xff];
	return crc;
}

#ifdef __x86_64__
/* the processor's own instruction: a new copy is checked at the rate at which it comes */
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *b, size_t n)
{
	uint64_t wide = crc, word;

	for (; n >= 8; n -= 8, b += 8) {
		memcpy(&word, b, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	while (n--)
		crc = __builtin_ia32_crc32qi(crc, *b++);
	return crc;
}
#endif

uint32_t fsw_crc32c(uint32_t crc, const void *p, size_t n)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return by_instruction(crc, p, n);
#endif
	return fsw_crc32c_by_table(crc, p, n);
}
