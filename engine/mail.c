/* SPDX-License-Identifier: MIT */
/*
 * mail.c - mailboxes: keys that somebody granted, delivered to a context of a
 * port. Each port has a table of mails in the box; a mail is there when its word
 * says so, and words carry a number that orders them. Sending, receiving and
 * dropping want the table's lock.
 */
#include "tables.h"

static unsigned int mail_context(uint64_t word)
{
	return (unsigned int)(word >> MEMBOX_MAIL_CONTEXT_SHIFT) & 0xffff;
}

uint16_t mbe_mail_send(struct mbe *e, uint32_t port, unsigned int context, uint32_t context_gen,
		       const struct membox_mail *mail)
{
	struct membox_fmt_mail *mails = mbe_area_of(e, MEMBOX_AREA_MAIL, port);
	uint32_t i;

	for (i = 0; i < e->geo.mails; i++) {
		struct membox_fmt_mail *m = &mails[i];

		if (MBE_LOAD(&m->word))
			continue;
		m->from_port = e->port;
		m->context_gen = context_gen;
		mbe_name_copy(m->name, mail->name);
		mbe_name_copy(m->group, mail->group);
		m->key = mail->key;
		MBE_STEP(e, "mail: filled");
		MBE_STORE(&m->word, ++e->state->mail_seq << MEMBOX_MAIL_SEQ_SHIFT |
					    (uint64_t)context << MEMBOX_MAIL_CONTEXT_SHIFT | 1);
		MBE_STEP(e, "mail: sent");
		mbe_wake_port(e, port);
		return MEMBOX_ST_OK;
	}
	return MEMBOX_ST_TABLE_FULL;
}

static void take_out(struct mbe *e, struct membox_fmt_mail *m)
{
	MBE_STORE(&m->word, 0);
	MBE_STEP(e, "mail: taken");
	memset(&m->key, 0, sizeof(m->key));
}

void mbe_mail_drop(struct mbe *e, uint32_t port, unsigned int context)
{
	struct membox_fmt_mail *mails = mbe_area_of(e, MEMBOX_AREA_MAIL, port);
	uint32_t i;

	for (i = 0; i < e->geo.mails; i++) {
		uint64_t word = MBE_LOAD(&mails[i].word);

		if (word && (context == -1U || mail_context(word) == context))
			take_out(e, &mails[i]);
	}
}

/* The oldest mail of an open context, NULL: none. */
static struct membox_fmt_mail *oldest(struct mbe *e, unsigned int context)
{
	struct membox_fmt_mail *found = NULL;
	uint64_t first = UINT64_MAX; /* the number leads in the word: the smallest is the oldest */
	uint32_t i;

	for (i = 0; i < e->geo.mails; i++) {
		uint64_t word = MBE_LOAD(&e->mails[i].word);

		if (!word || mail_context(word) != context || word >= first ||
		    e->mails[i].context_gen != (mbe_context_gen(e, context) & 0xffffff))
			continue;
		first = word;
		found = &e->mails[i];
	}
	return found;
}

uint16_t mbe_mail_recv(struct mbe *e, unsigned int context, struct membox_mail *a)
{
	struct membox_fmt_mail *m = oldest(e, context);

	if (!m)
		return MEMBOX_ST_AGAIN;
	a->from_port = m->from_port;
	mbe_name_copy(a->name, m->name);
	mbe_name_copy(a->group, m->group);
	a->key = m->key;
	take_out(e, m);
	return MEMBOX_ST_OK;
}

/* Contexts that have mail of which event() was not called yet. No lock. */
void mbe_mail_announce(struct mbe *e, uint64_t contexts[MEMBOX_MAX_CONTEXTS / 64])
{
	uint64_t told, last;
	uint32_t i;

	pthread_mutex_lock(&e->watch_mutex);
	told = e->mail_told;
	last = told;
	for (i = 0; i < e->geo.mails; i++) {
		uint64_t word = MBE_LOAD(&e->mails[i].word);
		uint64_t seq = word >> MEMBOX_MAIL_SEQ_SHIFT;
		unsigned int context = mail_context(word) & (MEMBOX_MAX_CONTEXTS - 1);

		if (!word || seq <= told)
			continue;
		contexts[context / 64] |= 1ULL << context % 64;
		if (seq > last)
			last = seq;
	}
	e->mail_told = last;
	pthread_mutex_unlock(&e->watch_mutex);
}
