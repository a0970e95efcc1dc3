/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The local control socket RUN_DIR/NODE.sock, for the tool: one JSON object per line each way, root only.
 *   {"cmd":"status"}  {"cmd":"up","device":"farswap0","size":N,"copies":N}  {"cmd":"down","device":"farswap0"}
 *   {"ok":true,...}   {"ok":false,"error":"one line","code":N}      code: the tool's exit code
 */
#ifndef FARSWAP_LOCAL_H
#define FARSWAP_LOCAL_H

int local_prepare(void);	/* the run directory; 0, or -1 after a line in the log */
int local_init(void);		/* the socket; likewise */
void local_exit(void);

#endif
