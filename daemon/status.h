/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FARSWAP_STATUS_H
#define FARSWAP_STATUS_H

#include <json-c/json.h>

/* everything there is to show; done is called once, perhaps before the return, and takes the object */
typedef void (*status_done)(struct json_object *status, void *arg);
void status_get(status_done done, void *arg);

#endif
