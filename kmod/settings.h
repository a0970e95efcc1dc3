/* SPDX-License-Identifier: GPL-2.0 */
/* Module parameters, checked once when the module is loaded and constant from then on, but for readahead and scrub. */
#ifndef FSW_SETTINGS_H
#define FSW_SETTINGS_H

#define FSW_LANES_MAX	16
#define FSW_CONNS_MAX	(FSW_LANES_MAX + 2)	/* see fsw_rdma_conns() */

struct fsw_settings {
	unsigned int window;		/* pages written together at most */
	unsigned int staging_pages;	/* pages in the staging pool at first */
	unsigned int staging_max;	/* and at most */
	unsigned int lanes;		/* read queue pairs per peer */
	unsigned int readahead_pages;	/* pages in the read-ahead buffers */
	unsigned int readahead;		/* pages of a window; 0: adaptive, 1: off. READ_ONCE: it changes live */
	unsigned int scrub;		/* pages per second whose copies are verified; 0: off. READ_ONCE: it changes live */
	unsigned int close_ms;		/* an open window is sent after this time */
	unsigned int store_ms;		/* a store waits this long for room */
	unsigned int hedge_ms;		/* a READ older than this is tried on another replica too */
	unsigned int load_ms;		/* a load fails after this time */
	unsigned int write_ms;		/* a chain in flight for longer fails its peer */
	unsigned int poll_us;		/* a load polls for its READ this long before it sleeps */
	unsigned int ack_timeout;	/* RC local ACK timeout, 4.096 us * 2^this */
	char *frontend;			/* as it was given */
	bool frontswap;			/* frontend=frontswap, and the kernel has it */
};

extern struct fsw_settings fsw_settings;

/* 0; -EINVAL or -EOPNOTSUPP after one line that names the parameter, its value, and its range or why it cannot be had */
int fsw_settings_init(void);

#endif
