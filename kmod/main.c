// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include "bind.h"
#include "device.h"
#include "frontswap.h"
#include "netlink.h"
#include "settings.h"
#include "stall.h"
#define CREATE_TRACE_POINTS
#include "trace.h"

static int __init farswap_init(void)
{
	int ret;

	ret = fsw_settings_init();
	if (ret)
		return ret;
	ret = fsw_bind_init();
	if (ret)
		return ret;
	ret = fsw_netlink_init();
	if (ret)
		goto exit_bind;
	ret = fsw_devices_init();
	if (ret)
		goto exit_netlink;
	if (fsw_settings.frontswap)
		fsw_frontswap_init();	/* last: there is no way back */
	return 0;

exit_netlink:
	fsw_netlink_exit();
exit_bind:
	fsw_bind_exit();
	return ret;
}

/* No disk is open: each open holds the module, and a frontswap backend holds it for good. Devices first, so that their last events find the family. */
static void __exit farswap_exit(void)
{
	fsw_devices_exit();
	fsw_netlink_exit();
	fsw_bind_exit();
	fsw_stalls_tell();
}

module_init(farswap_init);
module_exit(farswap_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("swap to the memory of other hosts over RDMA");
MODULE_VERSION("0.1");
MODULE_SOFTDEP("pre: crc32c");
