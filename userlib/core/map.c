/* SPDX-License-Identifier: MIT */
/*
 * map.c - parameters in this process' memory. A parameter has at most one
 * mapping of each protection; param->lock guards them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

struct mb_mapped {
	struct mb_mapped *next;
	int prot;
	void *addr;
	void *cookie; /* the back end's */
};

static int map_locked(struct membox_param *param, int prot, void **addr)
{
	struct membox *box = param->box;
	struct mb_mapped *m;
	int ret;

	for (m = param->mapped; m; m = m->next) {
		if (m->prot == prot) {
			*addr = m->addr;
			return 0;
		}
	}
	m = calloc(1, sizeof(*m));
	if (!m)
		return mb_fail(-ENOMEM, "param_map '%s': no memory", param->name);
	ret = box->be->map(box, param->handle, prot, param->bytes, &m->addr, &m->cookie);
	if (ret) {
		free(m);
		return mb_admin_fail(box, ret, "param_map", param->name, 0);
	}
	m->prot = prot;
	m->next = param->mapped;
	param->mapped = m;
	*addr = m->addr;
	return 0;
}

MB_EXPORT int membox_param_map(struct membox_param *param, int prot, void **addr)
{
	int ret = mb_check(param->box);

	if (ret)
		return ret;
	if (prot != PROT_READ && prot != (PROT_READ | PROT_WRITE))
		return mb_fail(-EINVAL,
			       "param_map '%s': protection %#x, neither PROT_READ nor with PROT_WRITE",
			       param->name, prot);
	if (!(param->box->caps & MEMBOX_CAP_WINDOWS))
		return mb_fail_status(MEMBOX_ST_UNSUPPORTED, "param_map '%s'", param->name);
	if ((prot & PROT_WRITE) && !(param->rights & MEMBOX_WIN_WRITE))
		return mb_fail_status(MEMBOX_ST_DENIED, "param_map '%s' for writing", param->name);
	pthread_mutex_lock(&param->lock);
	ret = map_locked(param, prot, addr);
	pthread_mutex_unlock(&param->lock);
	return ret;
}

void mb_unmap_all(struct membox_param *param)
{
	struct mb_mapped *m;

	pthread_mutex_lock(&param->lock);
	while ((m = param->mapped)) {
		param->mapped = m->next;
		param->box->be->unmap(param->box, m->addr, param->bytes, m->cookie);
		free(m);
	}
	pthread_mutex_unlock(&param->lock);
}
