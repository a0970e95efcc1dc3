/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FARSWAP_CRC32C_H
#define FARSWAP_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* begins with ~0 for the sums of the kernel's map */
uint32_t fsw_crc32c(uint32_t crc, const void *p, size_t n);
/* the same, for processors without an instruction for it */
uint32_t fsw_crc32c_by_table(uint32_t crc, const void *p, size_t n);

#endif
