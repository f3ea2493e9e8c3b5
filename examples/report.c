/* SPDX-License-Identifier: MIT */
/* report.c - progress lines, the summary as text and as JSON. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mnist.h"

#define LIVE_SECONDS 0.2  /* between changes of the line on a terminal */
#define PLAIN_SECONDS 2.0 /* between lines elsewhere */

double report_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static double per_second(const struct run *run, double seconds)
{
	return seconds > 0 ? (double)run->samples / seconds : 0;
}

void report_progress(struct run *run, double loss, uint64_t bytes, bool epoch_over)
{
	bool live = isatty(STDOUT_FILENO);
	double now = report_now();

	run->shown_bytes = bytes;
	if (!epoch_over && run->step > 1 && now - run->shown < (live ? LIVE_SECONDS : PLAIN_SECONDS))
		return;
	run->shown = now;
	printf("%s%s: step %" PRIu64 "/%u  loss %.4f  %.0f samples/s  %.2f MB%s", live ? "\r\033[K" : "",
	       run->who, run->step, run->steps, loss, per_second(run, now - run->started),
	       (double)bytes * 1e-6, live ? "" : "\n");
	if (epoch_over)
		printf("%s%s: epoch %u/%u  loss %.4f  weights %016" PRIx64 "\n",
		       live ? "\r\033[K" : "", run->who, run->epochs_done, run->o->epochs,
		       run->loss[run->epochs_done - 1], run->weights[run->epochs_done - 1]);
	fflush(stdout);
}

void report_clear(void)
{
	if (isatty(STDOUT_FILENO))
		printf("\r\033[K");
	fflush(stdout);
}

static double accuracy(const struct run *run)
{
	return (double)run->correct / run->test.count;
}

void report_summary(const struct run *run)
{
	const uint64_t *c = run->counter;

	if (run->share < 0)
		printf("%s: served %" PRIu64 " updates in %.1f s; serving moved %" PRIu64
		       " bytes to the box and %" PRIu64 " from it\n", run->who, run->stats.steps,
		       (double)run->stats.exchange_ns * 1e-9, run->serve_bytes[0],
		       run->serve_bytes[1]);
	else
		printf("%s: accuracy %.1f %% (%u of %u), %.0f samples/s, %.1f s, of which %.1f s exchange\n",
		       run->who, 100 * accuracy(run), run->correct, run->test.count,
		       per_second(run, run->seconds), run->seconds,
		       (double)run->stats.exchange_ns * 1e-9);
	if (run->stats.size)
		printf("%s: bytes %" PRIu64 " to the box, %" PRIu64 " from it; %" PRIu64
		       " operations, %" PRIu64 " interrupts, %" PRIu64 " doorbells\n", run->who,
		       c[MEMBOX_CTR_TO_DEVICE], c[MEMBOX_CTR_FROM_DEVICE],
		       c[MEMBOX_CTR_OPERATIONS], c[MEMBOX_CTR_INTERRUPTS],
		       c[MEMBOX_CTR_DOORBELLS]);
}

static void put_text(FILE *f, const char *name, const char *text)
{
	fprintf(f, "  \"%s\": \"", name);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', f);
		if ((unsigned char)*text >= ' ')
			fputc(*text, f);
	}
	fputs("\",\n", f);
}

static void put_whole(FILE *f, const char *name, uint64_t v)
{
	fprintf(f, "  \"%s\": %" PRIu64 ",\n", name, v);
}

static void put_real(FILE *f, const char *name, double v)
{
	fprintf(f, "  \"%s\": %.9g,\n", name, v);
}

static void put_epochs(FILE *f, const struct run *run)
{
	unsigned int e;

	fputs("  \"loss\": [", f);
	for (e = 0; e < run->epochs_done; e++)
		fprintf(f, "%s%.9g", e ? ", " : "", run->loss[e]);
	fputs("],\n  \"weights\": [", f);
	for (e = 0; e < run->epochs_done; e++)
		fprintf(f, "%s\"%016" PRIx64 "\"", e ? ", " : "", run->weights[e]);
	fputs("],\n", f);
}

static void put_all(FILE *f, const struct run *run)
{
	const struct membox_train_stats *s = &run->stats;
	const struct options *o = run->o;

	fputs("{\n", f);
	put_text(f, "method", o->method);
	put_text(f, "role", !s->size ? "local" : run->share < 0 ? "master" : "worker");
	put_text(f, "data", o->data == DATA_FASHION ? "fashion" : "digits");
	put_whole(f, "train", run->train.count);
	put_whole(f, "test", run->test.count);
	put_whole(f, "hidden", o->hidden);
	put_whole(f, "batch", o->batch);
	put_whole(f, "epochs", run->epochs_done);
	put_real(f, "lr", o->lr);
	put_whole(f, "seed", o->seed);
	put_whole(f, "seat", (uint64_t)s->seat);
	put_whole(f, "seats", s->seats);
	put_whole(f, "shares", run->shares);
	put_whole(f, "steps", s->size ? s->steps : run->step);
	put_whole(f, "updates", s->size ? s->updates : run->step);
	put_epochs(f, run);
	if (run->share >= 0) {
		put_whole(f, "correct", run->correct);
		put_real(f, "accuracy", accuracy(run));
		put_whole(f, "samples", run->samples);
		put_real(f, "seconds", run->seconds);
		put_real(f, "samples_per_second", per_second(run, run->seconds));
	}
	put_real(f, "exchange_seconds", (double)s->exchange_ns * 1e-9);
	put_real(f, "wait_seconds", (double)s->wait_ns * 1e-9);
	put_whole(f, "events", s->events);
	put_whole(f, "coalesced", s->coalesced);
	put_whole(f, "model_bytes", run->mlp.count * sizeof(float));
	put_whole(f, "constant_bytes", s->constant_bytes);
	put_whole(f, "serve_to_device_bytes", run->serve_bytes[0]);
	put_whole(f, "serve_from_device_bytes", run->serve_bytes[1]);
	put_whole(f, "control_bytes", run->counter[MEMBOX_CTR_CONTROL]);
	put_whole(f, "common_read_bytes", run->counter[MEMBOX_CTR_COMMON_READ]);
	put_whole(f, "common_write_bytes", run->counter[MEMBOX_CTR_COMMON_WRITE]);
	put_whole(f, "dma_to_device_bytes", run->counter[MEMBOX_CTR_TO_DEVICE]);
	put_whole(f, "dma_from_device_bytes", run->counter[MEMBOX_CTR_FROM_DEVICE]);
	put_whole(f, "operations", run->counter[MEMBOX_CTR_OPERATIONS]);
	put_whole(f, "interrupts", run->counter[MEMBOX_CTR_INTERRUPTS]);
	put_whole(f, "doorbells", run->counter[MEMBOX_CTR_DOORBELLS]);
	fprintf(f, "  \"errors\": %" PRIu64 "\n}\n", run->counter[MEMBOX_CTR_ERRORS]);
}

int report_json(const struct run *run)
{
	const char *path = run->o->json;
	FILE *f;
	int rc;

	if (!path)
		return 0;
	if (!strcmp(path, "-")) {
		put_all(stdout, run);
		return 0;
	}
	f = fopen(path, "w");
	if (f) {
		put_all(f, run);
		rc = ferror(f);
		if (!fclose(f) && !rc)
			return 0;
	}
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	return -1;
}
