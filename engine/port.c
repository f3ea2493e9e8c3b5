/* SPDX-License-Identifier: MIT */
/*
 * port.c - who is there: byte locks, liveness of ports, taking and leaving a
 * port, recovery of one whose owner died.
 *
 * The owner of a port holds an open-file-description lock on the first byte of
 * its record, through a description of its own that is never mapped and is
 * closed in forked children. A child that was made behind the library's back
 * keeps that lock all the same: so the record also names the process, and a port
 * is alive if the byte is held and that process is there. Who recovers a port
 * holds the record's second byte; it also takes the first when it can.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* F_OFD_SETLK */
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tables.h"

#define RECOVERY_TRIES 1000 /* milliseconds that somebody else's recovery is waited for */

/* ---- byte locks ---- */

uint64_t mbe_port_byte(const struct mbe_geometry *g, uint32_t port)
{
	return g->area[MEMBOX_AREA_PORTS].offset + (uint64_t)port * sizeof(struct membox_fmt_port);
}

static int byte_op(int fd, int op, short type, uint64_t byte, struct flock *l)
{
	*l = (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
	return fcntl(fd, op, l) ? -errno : 0;
}

int mbe_byte_lock(int fd, uint64_t byte, bool shared)
{
	struct flock l;
	int err = byte_op(fd, F_OFD_SETLK, shared ? F_RDLCK : F_WRLCK, byte, &l);

	return err == -EACCES ? -EAGAIN : err;
}

void mbe_byte_unlock(int fd, uint64_t byte)
{
	struct flock l;

	byte_op(fd, F_OFD_SETLK, F_UNLCK, byte, &l);
}

bool mbe_byte_held(int fd, uint64_t byte)
{
	struct flock l;

	return byte_op(fd, F_OFD_GETLK, F_WRLCK, byte, &l) || l.l_type != F_UNLCK;
}

/* ---- identity of processes ---- */

struct process {
	char state;	 /* 0: not there */
	uint64_t start;	 /* clock ticks since boot */
	unsigned long threads;
};

static struct process process_look(uint64_t pid)
{
	struct process p = {0};
	unsigned long long start;
	char path[64], buf[1024], *at;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%llu/stat", (unsigned long long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return p;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n <= 0)
		return p;
	buf[n] = '\0';
	at = strrchr(buf, ')'); /* ends the name, which may hold anything */
	if (at && sscanf(at + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %*s %llu",
			 &p.state, &p.threads, &start) == 3)
		p.start = start;
	else
		p.state = 0;
	return p;
}

static void read_boot_id(uint64_t id[2])
{
	char text[64] = "", digits[33] = "";
	unsigned int i, n = 0;
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	id[0] = 0;
	id[1] = 0;
	if (!f)
		return;
	if (fgets(text, sizeof(text), f)) {
		for (i = 0; text[i] && n < 32; i++)
			if (text[i] != '-')
				digits[n++] = text[i];
		id[1] = strtoull(digits + 16, NULL, 16);
		digits[16] = '\0';
		id[0] = strtoull(digits, NULL, 16);
	}
	fclose(f);
}

/* Inode of our pid name space, 0: cannot be told. */
static uint64_t pid_ns(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) ? 0 : (uint64_t)st.st_ino;
}

void mbe_identity_set(struct mbe *e)
{
	struct membox_fmt_port *p = e->self;

	read_boot_id(e->boot_id);
	e->pid_ns = pid_ns();
	MBE_STORE(&p->pid, (uint64_t)getpid());
	MBE_STORE(&p->pid_start, process_look((uint64_t)getpid()).start);
	MBE_STORE(&p->boot_id[0], e->boot_id[0]);
	MBE_STORE(&p->boot_id[1], e->boot_id[1]);
	MBE_STORE(&p->pid_ns, e->pid_ns);
}

/* Can the recorded process be looked for from here: same boot, same name space? */
static bool process_visible(const struct mbe *e, const struct membox_fmt_port *p)
{
	return e->pid_ns && MBE_LOAD(&p->pid_ns) == e->pid_ns &&
	       MBE_LOAD(&p->boot_id[0]) == e->boot_id[0] && MBE_LOAD(&p->boot_id[1]) == e->boot_id[1];
}

static bool process_gone(const struct mbe *e, const struct membox_fmt_port *p)
{
	uint64_t pid = MBE_LOAD(&p->pid);
	struct process now;

	if (!process_visible(e, p) || !pid || pid > INT32_MAX)
		return false;
	if (kill((pid_t)pid, 0) && errno == ESRCH)
		return true;
	now = process_look(pid);
	if (!now.state) /* there, but not shown to us */
		return false;
	if (now.start != MBE_LOAD(&p->pid_start))
		return true;
	/* a leader that ended before its threads looks like a zombie */
	return (now.state == 'Z' || now.state == 'X') && now.threads <= 1;
}

/* ---- liveness ---- */

bool mbe_port_alive(struct mbe *e, uint32_t port, uint32_t generation)
{
	uint64_t word;

	if (port >= e->geo.ports)
		return false;
	word = MBE_LOAD(&e->ports[port].word);
	if (word != mbe_port_word(generation, MEMBOX_PORT_LIVE))
		return false;
	if (port == e->port)
		return true;
	return mbe_byte_held(e->lock_fd, mbe_port_byte(&e->geo, port)) && !process_gone(e, &e->ports[port]);
}

bool mbe_port_stalled(struct mbe *e, uint32_t port)
{
	const struct membox_fmt_port *p;
	char state;

	if (port >= e->geo.ports || port == e->port)
		return false;
	p = &e->ports[port];
	if (!process_visible(e, p))
		return false;
	state = process_look(MBE_LOAD(&p->pid)).state;
	return state == 'T' || state == 't';
}

uint32_t mbe_port_state(struct mbe *e, uint32_t port)
{
	uint64_t word;

	if (port >= e->geo.ports)
		return MEMBOX_PORT_FREE;
	word = MBE_LOAD(&e->ports[port].word);
	if ((uint32_t)word == MEMBOX_PORT_LIVE && !mbe_port_alive(e, port, (uint32_t)(word >> 32)))
		return MEMBOX_PORT_DEAD;
	return (uint32_t)word <= MEMBOX_PORT_DEAD ? (uint32_t)word : MEMBOX_PORT_DEAD;
}

void mbe_wake_all(struct mbe *e)
{
	uint32_t i;

	for (i = 0; i < e->geo.ports; i++)
		if ((uint32_t)MBE_LOAD(&e->ports[i].word) == MEMBOX_PORT_LIVE)
			mbe_wake_port(e, i);
}

/* ---- recovery ---- */

static void drop_waiters(struct mbe *e, uint32_t port)
{
	uint64_t *waiters = mbe_area_of(e, MEMBOX_AREA_WAITERS, port);
	uint32_t i;

	for (i = 0; i < e->geo.waiters; i++)
		MBE_STORE(&waiters[i], 0);
}

/* The port's bit in the version of every parameter. Locked. */
static uint16_t drop_watches(struct mbe *e, uint32_t port)
{
	struct membox_fmt_param_fixed f;
	uint64_t word;
	uint16_t status;
	uint32_t i;

	for (i = 0; i < e->geo.params; i++) {
		status = mbe_param_load(e, i, &f, &word);
		if (status)
			return status;
		if (word)
			__atomic_fetch_and(&mbe_param_version(e, &f)->watch[port / 64],
					   ~(1ULL << port % 64), __ATOMIC_SEQ_CST);
	}
	return MEMBOX_ST_OK;
}

static void drop_references(struct mbe *e, uint32_t port)
{
	struct membox_fmt_context *contexts = mbe_area_of(e, MEMBOX_AREA_CONTEXTS, port);
	struct membox_fmt_handle *handles = mbe_area_of(e, MEMBOX_AREA_HANDLES, port);
	uint32_t i;

	for (i = 0; i < e->geo.handles; i++) {
		if (!MBE_LOAD(&handles[i].word))
			continue;
		MBE_STORE(&handles[i].word, 0);
		MBE_STEP(e, "recover: handle dropped");
	}
	for (i = 0; i < MEMBOX_MAX_CONTEXTS; i++)
		MBE_STORE(&contexts[i].word, MBE_LOAD(&contexts[i].word) & ~0xffffffffULL);
}

/* All that a dead owner left in the tables. Whoever calls has the port's recovery. */
static uint16_t recover_tables(struct mbe *e, uint32_t port)
{
	uint16_t status;

	mbe_exec_recover(e, port);
	MBE_STEP(e, "recover: undone");
	status = mbe_table_lock(e);
	if (status)
		return status;
	drop_references(e, port);
	drop_waiters(e, port);
	MBE_STEP(e, "recover: waiters dropped");
	mbe_plock_drop(e, port, -1U);
	MBE_STEP(e, "recover: parameter locks dropped");
	mbe_mail_drop(e, port, -1U);
	MBE_STEP(e, "recover: mail dropped");
	status = mbe_group_bury(e, port, -1U);
	MBE_STEP(e, "recover: seats buried");
	if (!status)
		status = drop_watches(e, port);
	if (!status)
		status = mbe_rebuild(e); /* references are fewer: some parameters go */
	mbe_table_unlock(e);
	mbe_zero_pending(e);
	return status;
}

uint16_t mbe_port_take(struct mbe *e)
{
	uint64_t word = MBE_LOAD(&e->self->word);
	uint16_t status;

	e->generation = (uint32_t)(word >> 32) + 1;
	/* every lock word of the generations before is a dead one's from here on */
	MBE_STORE(&e->self->word, mbe_port_word(e->generation, MEMBOX_PORT_DEAD));
	MBE_STEP(e, "take: generation bumped");
	mbe_identity_set(e);
	MBE_STEP(e, "take: identity");
	memcpy(e->self->principal, e->principal, sizeof(e->principal));
	e->self->quota_bytes = e->opts.quota_bytes;
	e->self->quota_params = e->opts.quota_params;
	e->self->flags = (e->rdonly ? MEMBOX_PORTF_RDONLY : 0) |
			 (e->opts.is_operator ? MEMBOX_PORTF_OPERATOR : 0);
	memset(e->self->counter, 0, sizeof(e->self->counter));
	MBE_STORE(&e->self->sleepers, 0);
	MBE_STORE(&e->self->attached, mbe_clock(e));
	MBE_STEP(e, "take: record");
	MBE_STORE(&e->self->word, mbe_port_word(e->generation, MEMBOX_PORT_LIVE));
	MBE_STEP(e, "take: live");
	status = mbe_stopped(e) ? MEMBOX_ST_CORRUPT : recover_tables(e, e->port);
	e->looking = status == MEMBOX_ST_CORRUPT; /* nothing is touched any more */
	return e->looking ? MEMBOX_ST_OK : status;
}

void mbe_port_leave(struct mbe *e)
{
	mbe_exec_forget(e);
	MBE_STORE(&e->self->word, mbe_port_word(e->generation, MEMBOX_PORT_FREE));
	MBE_STEP(e, "leave: free");
	mbe_wake_all(e);
}

/* Takes a port's recovery byte: false when somebody keeps it too long. */
static bool take_recovery(struct mbe *e, uint32_t port)
{
	struct timespec ms = {0, (long)MBE_NS_PER_MS};
	unsigned int i;

	for (i = 0; i < RECOVERY_TRIES; i++) {
		if (!mbe_byte_lock(e->lock_fd, mbe_port_byte(&e->geo, port) + 1, false))
			return true;
		nanosleep(&ms, NULL);
	}
	return false;
}

/* Needs recovery: was left LIVE or half recovered, and nobody is there. */
static bool port_is_dead(struct mbe *e, uint32_t port)
{
	return port != e->port && mbe_port_state(e, port) == MEMBOX_PORT_DEAD;
}

bool mbe_recover_port(struct mbe *e, uint32_t port)
{
	uint64_t byte = mbe_port_byte(&e->geo, port);
	uint16_t status = MEMBOX_ST_OK;
	uint32_t generation;
	bool owner;

	if (port >= e->geo.ports)
		return false;
	if (!port_is_dead(e, port))
		return true;
	if (mbe_stopped(e))
		return false;
	pthread_mutex_lock(&e->recover_mutex);
	if (!take_recovery(e, port)) {
		pthread_mutex_unlock(&e->recover_mutex);
		return false;
	}
	if (port_is_dead(e, port)) {
		owner = !mbe_byte_lock(e->lock_fd, byte, false); /* a child may still hold it */
		generation = (uint32_t)(MBE_LOAD(&e->ports[port].word) >> 32) + 1;
		MBE_STORE(&e->ports[port].word, mbe_port_word(generation, MEMBOX_PORT_DEAD));
		MBE_STEP(e, "recover: generation bumped");
		status = recover_tables(e, port);
		if (!status) {
			MBE_STORE(&e->ports[port].word, mbe_port_word(generation, MEMBOX_PORT_FREE));
			__atomic_fetch_add(&e->state->recoveries, 1, __ATOMIC_RELAXED);
		}
		MBE_STEP(e, "recover: port free");
		if (owner)
			mbe_byte_unlock(e->lock_fd, byte);
	}
	mbe_byte_unlock(e->lock_fd, byte + 1);
	pthread_mutex_unlock(&e->recover_mutex);
	mbe_wake_all(e);
	return !status;
}

bool mbe_poll_ports(struct mbe *e, uint64_t interval)
{
	uint64_t at = MBE_PEEK(&e->poll_at), now = mbe_clock(e);
	bool recovered = false;
	uint32_t i;

	if (interval && (now < at || !__atomic_compare_exchange_n(&e->poll_at, &at, now + interval, false,
								  __ATOMIC_RELAXED, __ATOMIC_RELAXED)))
		return false;
	for (i = 0; i < e->geo.ports; i++)
		if (port_is_dead(e, i))
			recovered |= mbe_recover_port(e, i);
	return recovered;
}

/* ---- counters ---- */

uint64_t mbe_counter(const struct mbe *e, unsigned int counter)
{
	return counter < MEMBOX_NR_COUNTERS ? MBE_PEEK(&e->self->counter[counter]) : 0;
}

void mbe_count(struct mbe *e, unsigned int counter, uint64_t n)
{
	if (counter < MEMBOX_NR_COUNTERS && !e->away)
		__atomic_fetch_add(&e->self->counter[counter], n, __ATOMIC_RELAXED);
}
