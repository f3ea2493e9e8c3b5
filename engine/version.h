/* SPDX-License-Identifier: MIT */
/*
 * version.h - the counters of a parameter: version.c
 */
#ifndef MBE_VERSION_H
#define MBE_VERSION_H

#include "internal.h"

/* Waits while recovery settles the counters; the caller's record is still IDLE. */
void mbe_version_await(struct mbe *e, struct membox_fmt_version *ver);

/* Bump `begun` and `finished`; each returns the new value. */
uint64_t mbe_version_begin(struct membox_fmt_version *ver);
uint64_t mbe_version_finish(struct membox_fmt_version *ver);

/*
 * Adds to `finished` what writers of a dead port, and of others that died since,
 * left out. Their data is settled, their records still stand. Idempotent.
 */
void mbe_version_repair(struct mbe *e, uint32_t dead, struct membox_fmt_version *ver,
			uint32_t param, uint64_t serial);

#endif /* MBE_VERSION_H */
