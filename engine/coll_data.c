// SPDX-License-Identifier: MIT
/*
 * coll_data.c - the bytes of a collective.
 *
 * A long one is cut into chunks; chunk k of a rank has piece k % MEMBOX_COLL_DEPTH of
 * its staging. A chunk has a share for each rank. Of a reduction a rank stages all
 * shares but its own, reduces its own straight from its memory and the others' pieces,
 * into the place in its own piece that its share left empty, and takes all shares'
 * results from there. So each byte of its memory is read once and written once, and
 * what lies between stays in the cache. A rank may stage chunk k again when all ranks
 * have taken chunk k - MEMBOX_COLL_DEPTH.
 *
 * The counts in the entry (staged, reduced, taken) are stored when the bytes are there.
 */
#include "coll.h"

#include <string.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include "reduce.h"
#include "version.h"

#define BOUNCE_BYTES 8192	 /* twice MEMBOX_COLL_SMALL: f16 becomes f32 */
#define STREAM_BYTES (4ULL << 20) /* results from here on go past the cache */
#define SHARE_ALIGN 16ULL	 /* elements */

MEMBOX_ASSERT(BOUNCE_BYTES >= 2 * MEMBOX_COLL_SMALL);

/* ---- memory in pieces ---- */

/* The bytes that lie in one piece at `at`, at most max. */
static uint64_t mem_at(struct mbe_coll_mem *m, uint64_t at, uint64_t max, uint8_t **piece)
{
	uint64_t left;

	while (at < m->before)
		m->before -= m->v[--m->i].iov_len;
	while (m->i + 1 < m->n && at >= m->before + m->v[m->i].iov_len)
		m->before += m->v[m->i++].iov_len;
	*piece = (uint8_t *)m->v[m->i].iov_base + (at - m->before);
	left = m->v[m->i].iov_len - (at - m->before);
	return left < max ? left : max;
}

static void mem_get(struct mbe_coll_mem *m, uint64_t at, void *to, uint64_t bytes)
{
	uint8_t *d = to, *piece;

	while (bytes) {
		uint64_t n = mem_at(m, at, bytes, &piece);

		memcpy(d, piece, n);
		d += n;
		at += n;
		bytes -= n;
	}
}

/* Copies to memory that nobody reads soon. */
static void stream(uint8_t *d, const uint8_t *s, uint64_t n)
{
#if defined(__x86_64__)
	uint64_t head = -(uintptr_t)d & 63;

	if (head > n)
		head = n;
	memcpy(d, s, head);
	d += head;
	s += head;
	for (n -= head; n >= 64; n -= 64, d += 64, s += 64) {
		__m128i a = _mm_loadu_si128((const void *)s), b = _mm_loadu_si128((const void *)(s + 16));
		__m128i c = _mm_loadu_si128((const void *)(s + 32)), e = _mm_loadu_si128((const void *)(s + 48));

		_mm_stream_si128((void *)d, a);
		_mm_stream_si128((void *)(d + 16), b);
		_mm_stream_si128((void *)(d + 32), c);
		_mm_stream_si128((void *)(d + 48), e);
	}
	_mm_sfence();
#endif
	memcpy(d, s, n);
}

static void mem_put(struct mbe_coll_mem *m, uint64_t at, const uint8_t *from, uint64_t bytes)
{
	bool past = m->bytes >= STREAM_BYTES;
	uint8_t *piece;

	while (bytes) {
		uint64_t n = mem_at(m, at, bytes, &piece);

		if (past)
			stream(piece, from, n);
		else
			memcpy(piece, from, n);
		from += n;
		at += n;
		bytes -= n;
	}
}

/* ---- where it receives ---- */

static void stretch_put(struct mbe_run *run, uint64_t at, uint64_t bytes)
{
	struct mbe_coll *c = (struct mbe_coll *)((char *)run - offsetof(struct mbe_coll, run));

	memcpy(run->dst + at, c->from + (at - c->from_at), bytes);
}

/* Into a parameter: as a WRITE, with its stripes locked and its old bytes kept. */
static void put_param(struct mbe_coll *c, uint64_t at, const uint8_t *from, uint64_t bytes)
{
	if (!c->writing)
		mbe_write_begin(&c->run);
	c->writing = true;
	c->cmd->changed = true;
	c->from = from;
	c->from_at = at;
	c->run.done = at;
	c->run.bytes = at + bytes;
	c->failed = mbe_stripes(&c->run, stretch_put);
}

static void put(struct mbe *e, struct mbe_coll *c, uint64_t at, const uint8_t *from, uint64_t bytes)
{
	if (!c->recv.bytes || !bytes || c->failed)
		return;
	if (c->writes)
		put_param(c, at, from, bytes);
	else
		mem_put(&c->recv, at, from, bytes);
	if (c->failed)
		mbe_coll_decide(e, c, MEMBOX_ST_ABORTED, c->seat->rank);
	else
		c->got += bytes;
}

void mbe_coll_close(struct mbe *e, struct mbe_coll *c)
{
	const struct mbe_operand *op = &c->run.op[0];

	(void)e;
	if (!c->writes)
		return;
	if (!c->writing) {
		c->run.version = MBE_LOAD(&op->ver->finished);
		return;
	}
	if (c->got == op->bytes)
		MBE_STORE(&op->ver->torn, 0);
	c->run.done = c->got;
	c->run.cmd = c->cmd; /* which is to keep the record; no abort had to be seen so far */
	mbe_write_end(&c->run);
}

/* ---- folding ---- */

/*
 * n elements of all ranks, in rank order: ours from where we send, element `at` on,
 * the others' from source[]. What of ours is not in one piece goes through a buffer.
 */
static void fold(struct mbe_coll *c, uint8_t *to, const uint8_t **source, uint64_t at, uint64_t n)
{
	const struct membox_packet *p = &c->cmd->p;
	const struct mbe_seat *s = c->seat;
	uint8_t bounce[BOUNCE_BYTES] __attribute__((aligned(8)));

	while (n) {
		uint8_t *piece;
		uint64_t m = mem_at(&c->send, at * c->ssize, n * c->ssize, &piece) / c->ssize;

		if (!m || (uintptr_t)piece % c->ssize) {
			m = n * c->ssize < BOUNCE_BYTES ? n : BOUNCE_BYTES / c->ssize;
			mem_get(&c->send, at * c->ssize, bounce, m * c->ssize);
			piece = bounce;
		}
		source[s->rank] = piece;
		mbe_fold(p->dst_type, p->src_type, p->reduction, to, (const void *const *)source, s->ranks, m);
		for (uint32_t r = 0; r < s->ranks; r++)
			source[r] += m * c->ssize;
		to += m * c->dsize;
		at += m;
		n -= m;
	}
}

/* ---- small ones ---- */

static uint8_t *block_of(const struct mbe_coll *c, uint32_t rank)
{
	return (uint8_t *)mbe_coll_entry(c->seat, c->slot, rank) + sizeof(struct membox_fmt_coll_entry);
}

void mbe_coll_put_small(struct mbe *e, struct mbe_coll *c)
{
	if (c->send.bytes)
		mem_get(&c->send, 0, block_of(c, c->seat->rank), c->send.bytes);
	MBE_STEP(e, "coll: block filled");
}

static void get_fold(struct mbe *e, struct mbe_coll *c)
{
	const struct membox_packet *p = &c->cmd->p;
	const struct mbe_seat *s = c->seat;
	uint64_t first = p->opcode == MEMBOX_OP_REDUCE_SCATTER ? s->rank * p->count * c->ssize : 0;
	uint8_t bounce[BOUNCE_BYTES] __attribute__((aligned(8))), *piece;
	const void *source[MEMBOX_MAX_RANKS];

	for (uint32_t r = 0; r < s->ranks; r++)
		source[r] = block_of(c, r) + first;
	if (!c->writes && mem_at(&c->recv, 0, c->recv.bytes, &piece) == c->recv.bytes &&
	    !((uintptr_t)piece % c->dsize)) {
		mbe_fold(p->dst_type, p->src_type, p->reduction, piece, source, s->ranks, p->count);
		c->got = c->recv.bytes;
		return;
	}
	mbe_fold(p->dst_type, p->src_type, p->reduction, bounce, source, s->ranks, p->count);
	put(e, c, 0, bounce, c->recv.bytes);
}

uint16_t mbe_coll_get_small(struct mbe *e, struct mbe_coll *c)
{
	uint64_t bytes = c->cmd->p.count * c->ssize;

	if (!c->recv.bytes)
		return MEMBOX_ST_OK;
	switch (c->cmd->p.opcode) {
	case MEMBOX_OP_ALLGATHER:
		for (uint32_t r = 0; r < c->seat->ranks; r++)
			put(e, c, r * bytes, block_of(c, r), bytes);
		break;
	case MEMBOX_OP_BROADCAST:
		put(e, c, 0, block_of(c, c->root), bytes);
		break;
	default:
		get_fold(e, c);
	}
	return c->failed;
}

/* ---- long ones: where things are ---- */

static bool reduces(const struct mbe_coll *c)
{
	return c->cmd->p.opcode <= MEMBOX_OP_REDUCE_SCATTER;
}

static bool scatters(const struct mbe_coll *c)
{
	return c->cmd->p.opcode == MEMBOX_OP_REDUCE_SCATTER;
}

static uint64_t widest(const struct mbe_coll *c)
{
	return c->ssize > c->dsize ? c->ssize : c->dsize;
}

void mbe_coll_plan(struct mbe_coll *c)
{
	const struct membox_packet *p = &c->cmd->p;
	uint64_t each, ranks = c->seat->ranks;

	c->small = p->opcode == MEMBOX_OP_BARRIER ||
		   p->count * c->ssize * (scatters(c) ? ranks : 1) <= MEMBOX_COLL_SMALL;
	if (c->small)
		return;
	each = c->seat->at.piece / widest(c);
	if (scatters(c))
		each /= ranks;
	c->count = p->count;
	c->each = (uint32_t)each;
	c->chunks = (uint32_t)((p->count + each - 1) / each);
	if (!reduces(c))
		c->reduced = c->chunks;
	if (!c->send.bytes)
		c->staged = c->chunks;
}

static uint8_t *piece_of(const struct mbe_coll *c, uint32_t rank, uint32_t chunk)
{
	const struct mbe_coll_pages *at = &c->seat->at;

	return at->staging + ((uint64_t)rank * MEMBOX_COLL_DEPTH + chunk % MEMBOX_COLL_DEPTH) * at->piece;
}

/* Elements of a chunk: of a scattered one, of each share in it. */
static uint64_t chunk_elements(const struct mbe_coll *c, uint32_t chunk)
{
	uint64_t left = c->count - (uint64_t)chunk * c->each;

	return left < c->each ? left : c->each;
}

/* A rank's share of a chunk: where in pieces (elements), where in what is sent, and how many. */
struct share {
	uint64_t in_piece, at, n;
};

static struct share share_of(const struct mbe_coll *c, uint32_t chunk, uint32_t rank)
{
	uint64_t n = chunk_elements(c, chunk), first = (uint64_t)chunk * c->each, ranks = c->seat->ranks, lo, hi;

	if (scatters(c))
		return (struct share){ (uint64_t)rank * c->each, rank * c->count + first, n };
	lo = n * rank / ranks / SHARE_ALIGN * SHARE_ALIGN;
	hi = rank + 1 == ranks ? n : n * (rank + 1) / ranks / SHARE_ALIGN * SHARE_ALIGN;
	return (struct share){ lo, first + lo, hi - lo };
}

/* ---- long ones: work ---- */

static void stage(struct mbe *e, struct mbe_coll *c)
{
	uint8_t *piece = piece_of(c, c->seat->rank, c->staged);

	if (!reduces(c))
		mem_get(&c->send, (uint64_t)c->staged * c->each * c->ssize, piece,
			chunk_elements(c, c->staged) * c->ssize);
	for (uint32_t r = 0; reduces(c) && r < c->seat->ranks; r++) {
		struct share s = share_of(c, c->staged, r);

		if (r != c->seat->rank)
			mem_get(&c->send, s.at * c->ssize, piece + s.in_piece * widest(c), s.n * c->ssize);
	}
	MBE_STEP(e, "coll: staged");
	c->staged++;
	__atomic_store_n(&mbe_coll_mine(c)->staged, c->staged, __ATOMIC_SEQ_CST);
}

static void reduce(struct mbe *e, struct mbe_coll *c)
{
	struct share s = share_of(c, c->reduced, c->seat->rank);
	const uint8_t *source[MEMBOX_MAX_RANKS];

	for (uint32_t r = 0; r < c->seat->ranks; r++)
		source[r] = piece_of(c, r, c->reduced) + s.in_piece * widest(c);
	fold(c, piece_of(c, c->seat->rank, c->reduced) + s.in_piece * widest(c), source, s.at, s.n);
	MBE_STEP(e, "coll: reduced");
	c->reduced++;
	__atomic_store_n(&mbe_coll_mine(c)->reduced, c->reduced, __ATOMIC_SEQ_CST);
}

static void take(struct mbe *e, struct mbe_coll *c)
{
	uint64_t first = (uint64_t)c->taken * c->each, n = chunk_elements(c, c->taken);
	uint8_t opcode = c->cmd->p.opcode;

	if (opcode == MEMBOX_OP_BROADCAST)
		put(e, c, first * c->dsize, piece_of(c, c->root, c->taken), n * c->dsize);
	for (uint32_t r = 0; c->recv.bytes && opcode != MEMBOX_OP_BROADCAST && r < c->seat->ranks; r++) {
		struct share s = share_of(c, c->taken, r);

		if (opcode == MEMBOX_OP_ALLGATHER)
			put(e, c, (r * c->count + first) * c->dsize, piece_of(c, r, c->taken), n * c->dsize);
		else if (!scatters(c))
			put(e, c, s.at * c->dsize, piece_of(c, r, c->taken) + s.in_piece * widest(c),
			    s.n * c->dsize);
		else if (r == c->seat->rank)
			put(e, c, first * c->dsize, piece_of(c, r, c->taken) + s.in_piece * widest(c),
			    n * c->dsize);
	}
	MBE_STEP(e, "coll: taken");
	c->taken++;
	__atomic_store_n(&mbe_coll_mine(c)->taken, c->taken, __ATOMIC_SEQ_CST);
}

enum count { STAGED, REDUCED, TAKEN };

/* Have all others come to n? */
static bool all_at(const struct mbe_coll *c, enum count what, uint32_t n)
{
	for (uint32_t r = 0; r < c->seat->ranks; r++) {
		const struct membox_fmt_coll_entry *a = mbe_coll_entry(c->seat, c->slot, r);
		const __u32 *count = what == STAGED ? &a->staged : what == REDUCED ? &a->reduced : &a->taken;

		if (r != c->seat->rank && MBE_LOAD(count) < n)
			return false;
	}
	return true;
}

static bool can_take(const struct mbe_coll *c)
{
	uint32_t n = c->taken + 1;

	if (n > c->chunks || n > c->staged || n > c->reduced || !c->met)
		return false;
	switch (c->cmd->p.opcode) {
	case MEMBOX_OP_REDUCE_SCATTER:
		return true;
	case MEMBOX_OP_BROADCAST:
		return c->root == c->seat->rank ||
		       MBE_LOAD(&mbe_coll_entry(c->seat, c->slot, c->root)->staged) >= n;
	case MEMBOX_OP_ALLGATHER:
		return all_at(c, STAGED, n);
	default:
		return !c->recv.bytes || all_at(c, REDUCED, n);
	}
}

static bool can_reduce(const struct mbe_coll *c)
{
	return c->reduced < c->staged && c->met && all_at(c, STAGED, c->reduced + 1);
}

static bool can_stage(const struct mbe_coll *c)
{
	if (c->staged >= c->chunks)
		return false;
	/* the first ones find their pieces free: the slot's rule */
	return c->staged < MEMBOX_COLL_DEPTH ||
	       (c->met && c->taken > c->staged - MEMBOX_COLL_DEPTH &&
		all_at(c, TAKEN, c->staged - MEMBOX_COLL_DEPTH + 1));
}

bool mbe_coll_has_work(const struct mbe_coll *c)
{
	return can_take(c) || can_reduce(c) || can_stage(c);
}

bool mbe_coll_work(struct mbe *e, struct mbe_coll *c)
{
	if (can_take(c))
		take(e, c);
	else if (can_reduce(c))
		reduce(e, c);
	else if (can_stage(c))
		stage(e, c);
	else
		return false;
	mbe_seat_tell(e, c->seat);
	return true;
}
