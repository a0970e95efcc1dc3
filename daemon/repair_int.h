/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of repair share: repair.c decides and takes the steps of an extent, copy.c fills a new copy. */
#ifndef FARSWAP_REPAIR_INT_H
#define FARSWAP_REPAIR_INT_H

#include "device.h"

/* the try ends; what hinders is told, and it begins anew later */
void repair_fail(struct repair_job *job, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "the words of a REJECT", or of a link that broke; text is a buffer for it */
const char *repair_refusal(const struct link *link, const union farswap_msg *answer, char *text, size_t size);
/* a request that the next step waits for; its answer has the job as its arg and calls repair_answered() first. false: it cannot be asked */
bool repair_ask(struct repair_job *job, struct device_peer *peer, union farswap_msg *msg, link_answer answer);
void repair_call(struct repair_job *job, struct nl_msg *msg, kernel_done done);
void repair_answered(struct repair_job *job);

/* the sums of what the extent holds, then REPAIR_PUSH */
void copy_ask_sums(struct repair_job *job);
/* a piece more when it is its turn, and CHECKs of those before; then REPAIR_CHECK */
void copy_push(struct repair_job *job, struct device_peer *target);
/* the rest of the CHECKs; then another round of pushing, or REPAIR_SET */
void copy_check(struct repair_job *job, struct device_peer *target);
/* nothing of the present copy is wanted any more, not even answers */
void copy_forget(struct repair_job *job);
void copy_reset(void);

#endif
