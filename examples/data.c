/* SPDX-License-Identifier: MIT */
/* data.c - reads and writes IDX files, reads the digits' CSV, deals samples to shares. */
#include "data.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "rng.h"

#define IDX_LABELS 0x00000801u /* unsigned bytes, one dimension */
#define IDX_IMAGES 0x00000803u /* ... three */
#define MAX_SAMPLES (1u << 24)
#define MAX_SIDE 4096u
#define DIGITS_PIXELS 64u
#define DIGITS_MAX 16u
#define CLASSES 10u

static int complain(const char *path, const char *what)
{
	fprintf(stderr, "%s: %s\n", path, what);
	return -1;
}

void data_free(struct data_set *d)
{
	free(d->x);
	free(d->y);
	memset(d, 0, sizeof(*d));
}

static int read_exactly(gzFile f, void *to, size_t bytes)
{
	uint8_t *at = to;

	while (bytes) {
		unsigned int piece = bytes > (1u << 20) ? 1u << 20 : (unsigned int)bytes;

		if (gzread(f, at, piece) != (int)piece)
			return -1;
		at += piece;
		bytes -= piece;
	}
	return 0;
}

static int read_be32(gzFile f, uint32_t *v)
{
	uint8_t b[4];

	if (read_exactly(f, b, sizeof(b)))
		return -1;
	*v = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
	return 0;
}

/* Opens folder/name.gz or folder/name; path gets which. */
static gzFile open_idx(const char *folder, const char *name, char *path, size_t size)
{
	gzFile f;

	snprintf(path, size, "%s/%s.gz", folder, name);
	f = gzopen(path, "rb");
	if (!f) {
		snprintf(path, size, "%s/%s", folder, name);
		f = gzopen(path, "rb");
	}
	if (!f)
		fprintf(stderr, "%s[.gz]: %s (Debian's package dataset-fashion-mnist has it; --path names another folder)\n",
			path, strerror(errno));
	return f;
}

static int load_images(const char *folder, const char *name, unsigned int want,
		       struct data_set *d)
{
	uint32_t magic, count, rows, columns;
	char path[4096];
	gzFile f = open_idx(folder, name, path, sizeof(path));
	int rc = -1;

	if (!f)
		return -1;
	if (read_be32(f, &magic) || read_be32(f, &count) || read_be32(f, &rows) ||
	    read_be32(f, &columns) || magic != IDX_IMAGES || !count || count > MAX_SAMPLES ||
	    !rows || rows > MAX_SIDE || !columns || columns > MAX_SIDE) {
		complain(path, "is not an IDX file of images");
		goto out;
	}
	if (want > count) {
		fprintf(stderr, "%s: has %u samples, %u are wanted\n", path, count, want);
		goto out;
	}
	d->count = want ? want : count;
	d->pixels = rows * columns;
	d->classes = CLASSES;
	d->x = malloc((size_t)d->count * d->pixels);
	if (!d->x || read_exactly(f, d->x, (size_t)d->count * d->pixels)) {
		complain(path, d->x ? "is cut short" : "does not fit in memory");
		goto out;
	}
	rc = 0;
out:
	gzclose(f);
	return rc;
}

static int load_labels(const char *folder, const char *name, struct data_set *d)
{
	uint32_t magic, count;
	char path[4096];
	gzFile f = open_idx(folder, name, path, sizeof(path));
	unsigned int i;
	int rc = -1;

	if (!f)
		return -1;
	if (read_be32(f, &magic) || read_be32(f, &count) || magic != IDX_LABELS ||
	    count < d->count) {
		complain(path, "is not an IDX file of labels for these images");
		goto out;
	}
	d->y = malloc(d->count);
	if (!d->y || read_exactly(f, d->y, d->count)) {
		complain(path, d->y ? "is cut short" : "does not fit in memory");
		goto out;
	}
	for (i = 0; i < d->count; i++)
		if (d->y[i] >= d->classes) {
			complain(path, "has a label over 9");
			goto out;
		}
	rc = 0;
out:
	gzclose(f);
	return rc;
}

/* One line: 64 values and a label. 1 read, 0 end of file, -1 malformed. */
static int read_digit(gzFile f, uint8_t *x, uint8_t *y)
{
	char line[1024], *at = line, *end;
	unsigned int i;

	if (!gzgets(f, line, sizeof(line)))
		return 0;
	for (i = 0; i <= DIGITS_PIXELS; i++) {
		unsigned long v = strtoul(at, &end, 10);

		if (end == at || v > (i < DIGITS_PIXELS ? DIGITS_MAX : CLASSES - 1))
			return -1;
		if (i < DIGITS_PIXELS)
			x[i] = (uint8_t)(v * 255 / DIGITS_MAX);
		else
			*y = (uint8_t)v;
		at = *end == ',' ? end + 1 : end;
	}
	return 1;
}

static int load_csv(const char *path, struct data_set *d)
{
	gzFile f = gzopen(path, "rb");
	unsigned int room = 0;
	int got, rc = -1;

	if (!f) {
		fprintf(stderr, "%s: %s (--path names the CSV file)\n", path, strerror(errno));
		return -1;
	}
	d->pixels = DIGITS_PIXELS;
	d->classes = CLASSES;
	for (;;) {
		if (d->count == room) {
			uint8_t *x, *y;

			room = room ? 2 * room : 1024;
			x = room <= MAX_SAMPLES ? realloc(d->x, (size_t)room * d->pixels) : NULL;
			d->x = x ? x : d->x;
			y = x ? realloc(d->y, room) : NULL;
			d->y = y ? y : d->y;
			if (!y) {
				complain(path, "does not fit in memory");
				goto out;
			}
		}
		got = read_digit(f, d->x + (size_t)d->count * d->pixels, d->y + d->count);
		if (got <= 0)
			break;
		d->count++;
	}
	if (got < 0)
		fprintf(stderr, "%s: line %u is not 64 values of 0 to 16 and a label\n", path,
			d->count + 1);
	else if (!d->count)
		complain(path, "is empty");
	else
		rc = 0;
out:
	gzclose(f);
	return rc;
}

/* Copies samples [first, first + count) */
static int cut(const struct data_set *from, unsigned int first, unsigned int count,
	       struct data_set *to)
{
	*to = (struct data_set){ count, from->pixels, from->classes, NULL, NULL };
	to->x = malloc((size_t)count * from->pixels);
	to->y = malloc(count);
	if (!to->x || !to->y)
		return -1;
	memcpy(to->x, from->x + (size_t)first * from->pixels, (size_t)count * from->pixels);
	memcpy(to->y, from->y + first, count);
	return 0;
}

static int load_digits(const char *path, unsigned int train, unsigned int test,
		       struct data_set *train_out, struct data_set *test_out)
{
	struct data_set all = { 0 };
	int rc = load_csv(path, &all);

	if (!rc) {
		if (!test)
			test = all.count / 5;
		if (!train && test < all.count)
			train = all.count - test;
		if (!train || !test || train > all.count || test > all.count - train) {
			fprintf(stderr, "%s: has %u samples, %u and %u are wanted\n", path,
				all.count, train, test);
			rc = -1;
		} else if (cut(&all, 0, train, train_out) || cut(&all, train, test, test_out)) {
			rc = complain(path, "does not fit in memory");
		}
	}
	data_free(&all);
	return rc;
}

int data_load(enum data_kind kind, const char *path, unsigned int train, unsigned int test,
	      struct data_set *train_out, struct data_set *test_out)
{
	int rc;

	memset(train_out, 0, sizeof(*train_out));
	memset(test_out, 0, sizeof(*test_out));
	if (kind == DATA_DIGITS)
		rc = load_digits(path, train, test, train_out, test_out);
	else
		rc = load_images(path, "train-images-idx3-ubyte", train, train_out) ||
		     load_labels(path, "train-labels-idx1-ubyte", train_out) ||
		     load_images(path, "t10k-images-idx3-ubyte", test, test_out) ||
		     load_labels(path, "t10k-labels-idx1-ubyte", test_out) ? -1 : 0;
	if (!rc && train_out->pixels != test_out->pixels)
		rc = complain(path, "training and test images differ in size");
	if (rc) {
		data_free(train_out);
		data_free(test_out);
	}
	return rc;
}

static int write_idx(const char *folder, const char *name, uint32_t magic,
		     const uint32_t *dims, unsigned int ndims, const uint8_t *bytes, size_t n)
{
	char path[4096];
	unsigned int i, k;
	gzFile f;
	int ok;

	snprintf(path, sizeof(path), "%s/%s.gz", folder, name);
	f = gzopen(path, "wb9");
	if (!f)
		return complain(path, strerror(errno));
	for (i = 0, ok = 1; i <= ndims; i++) {
		uint32_t v = i ? dims[i - 1] : magic;
		uint8_t b[4];

		for (k = 0; k < 4; k++)
			b[k] = (uint8_t)(v >> (24 - 8 * k));
		ok = ok && gzwrite(f, b, sizeof(b)) == (int)sizeof(b);
	}
	ok = ok && gzfwrite(bytes, 1, n, f) == n;
	if (gzclose(f) != Z_OK || !ok)
		return complain(path, "could not be written");
	return 0;
}

/* The side of a square image, or the whole row as one line. */
static void image_dims(const struct data_set *d, uint32_t dims[3])
{
	uint32_t side = 1;

	while (side * side < d->pixels)
		side++;
	dims[0] = d->count;
	dims[1] = side * side == d->pixels ? side : 1;
	dims[2] = d->pixels / dims[1];
}

int data_write_fashion(const char *path, const struct data_set *train,
		       const struct data_set *test)
{
	uint32_t a[3], b[3];

	image_dims(train, a);
	image_dims(test, b);
	return write_idx(path, "train-images-idx3-ubyte", IDX_IMAGES, a, 3, train->x,
			 (size_t)train->count * train->pixels) ||
	       write_idx(path, "train-labels-idx1-ubyte", IDX_LABELS, a, 1, train->y,
			 train->count) ||
	       write_idx(path, "t10k-images-idx3-ubyte", IDX_IMAGES, b, 3, test->x,
			 (size_t)test->count * test->pixels) ||
	       write_idx(path, "t10k-labels-idx1-ubyte", IDX_LABELS, b, 1, test->y,
			 test->count) ? -1 : 0;
}

unsigned int data_share_count(const struct data_set *d, unsigned int share, unsigned int shares)
{
	return d->count / shares + (share < d->count % shares);
}

void data_share_order(const struct data_set *d, unsigned int share, unsigned int shares,
		      uint64_t seed, unsigned int epoch, uint32_t *order)
{
	unsigned int n = data_share_count(d, share, shares), i;
	uint64_t state = seed + ((uint64_t)epoch << 32) + share;

	for (i = 0; i < n; i++)
		order[i] = share + i * shares;
	for (i = n; i > 1; i--) {
		uint32_t k = rng_below(&state, i), held = order[i - 1];

		order[i - 1] = order[k];
		order[k] = held;
	}
}
