/* SPDX-License-Identifier: MIT */
/*
 * mlp.h - a perceptron with one hidden layer: rectifier, softmax, cross entropy.
 * Weights and gradient are four tensors each: W1[in][hidden], b1[hidden],
 * W2[hidden][out], b2[out], one behind the other. Its arithmetic is the same,
 * bit by bit, on every CPU.
 */
#ifndef EXAMPLES_MLP_H
#define EXAMPLES_MLP_H

#include <stddef.h>
#include <stdint.h>

#define MLP_TENSORS 4

struct mlp_tensor {
	const char *name;
	float *w, *g;
	size_t count;
};

struct mlp {
	unsigned int in, hidden, out;
	size_t count; /* weights in all */
	float *w, *g; /* count each */
	float *h, *dh, *o;
	struct mlp_tensor tensor[MLP_TENSORS];
};

/* 0 or -ENOMEM. The weights are random by seed, the biases 0. */
int mlp_init(struct mlp *m, unsigned int in, unsigned int hidden, unsigned int out,
	     uint64_t seed);
void mlp_free(struct mlp *m);

/*
 * m->g becomes the mean gradient over the samples x[i] (in bytes each, 0 ... 255
 * stands for 0 ... 1) with labels y[i]; added sample by sample in that order.
 * Returns the sum of the losses.
 */
double mlp_gradient(struct mlp *m, const uint8_t *const *x, const uint8_t *y, unsigned int n);

/* Which class the sample most likely is of. */
unsigned int mlp_classify(struct mlp *m, const uint8_t *x);

#endif
