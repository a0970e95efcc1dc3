/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of repair share: repair.c decides and takes the steps of an extent, copy.c fills a new copy. */
#ifndef FARSWAP_REPAIR_INT_H
#define FARSWAP_REPAIR_INT_H

#include "device.h"

/* the try ends; what hinders is told, and it begins anew later */
void repair_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "the words of a REJECT", or of a link that broke; text is a buffer for it */
const char *repair_refusal(const struct link *link, const union farswap_msg *answer, char *text, size_t size);
/* a request that the next step waits for; its answer calls repair_answered() first. false: it cannot be asked */
bool repair_ask(struct device_peer *peer, union farswap_msg *msg, link_answer answer);
void repair_call(struct nl_msg *msg, kernel_done done);
void repair_answered(void);

/* the sums of what the extent holds, then REPAIR_PUSH */
void copy_ask_sums(void);
/* a piece more, and CHECKs of those before; then REPAIR_CHECK */
void copy_push(struct device_peer *target);
/* the rest of the CHECKs; then another round of pushing, or REPAIR_SET */
void copy_check(struct device_peer *target);
/* nothing of the present copy is wanted any more, not even answers */
void copy_forget(void);
void copy_reset(void);

#endif
