/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FARSWAP_HARDEN_H
#define FARSWAP_HARDEN_H

/*
 * This daemon helps the kernel to get memory back, so it must not wait for memory itself: locked, last in line for
 * the OOM killer, allocating as an I/O flusher does. What is not permitted is said in one line and gone without.
 */
void harden(void);

#endif
