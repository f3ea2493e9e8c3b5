/* SPDX-License-Identifier: MIT */
/*
 * data.h - the data sets of the examples: Fashion-MNIST (four IDX files, gzip or
 * plain) and digits (one CSV file, gzip or plain: 64 values of 0 to 16, then the
 * label). A set is in memory as one byte a pixel, 0 to 255.
 */
#ifndef EXAMPLES_DATA_H
#define EXAMPLES_DATA_H

#include <stddef.h>
#include <stdint.h>

struct data_set {
	unsigned int count, pixels, classes;
	uint8_t *x; /* count * pixels */
	uint8_t *y; /* count, each below classes */
};

enum data_kind { DATA_FASHION, DATA_DIGITS };

/* Where Debian's packages put them. */
#define DATA_FASHION_PATH "/usr/share/datasets/fashion-mnist"
#define DATA_DIGITS_PATH "/usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz"

/*
 * Loads the first `train` and `test` samples (0: all there are; digits: the test
 * samples follow the training samples, 0 takes the last fifth). path is a folder
 * for fashion, a file for digits. 0, or -1 after a line on standard error.
 */
int data_load(enum data_kind kind, const char *path, unsigned int train, unsigned int test,
	      struct data_set *train_out, struct data_set *test_out);
void data_free(struct data_set *d);

/* Writes the four IDX files into a folder, gzipped. 0, or -1 after a line on standard error. */
int data_write_fashion(const char *path, const struct data_set *train,
		       const struct data_set *test);

/*
 * The samples of one share (first, first + step, ...), in an order of their own
 * for every epoch. order has room for data_share_count() entries.
 */
unsigned int data_share_count(const struct data_set *d, unsigned int share, unsigned int shares);
void data_share_order(const struct data_set *d, unsigned int share, unsigned int shares,
		      uint64_t seed, unsigned int epoch, uint32_t *order);

#endif
