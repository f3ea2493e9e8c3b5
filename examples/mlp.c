/* SPDX-License-Identifier: MIT */
/*
 * mlp.c - forward and backward pass. Every sum over inputs is made row by row:
 * the compiler may work on several outputs at once, but never on several terms
 * of one output's sum. Inputs and activations that are 0 add nothing and are
 * skipped, which halves the work on pictures.
 */
#include "mlp.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fmath.h"
#include "rng.h"

#define PIXEL (1.0f / 255.0f)

/* y += a * x */
static void add_row(float *restrict y, float a, const float *restrict x, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		y[i] += a * x[i];
}

int mlp_init(struct mlp *m, unsigned int in, unsigned int hidden, unsigned int out,
	     uint64_t seed)
{
	size_t sizes[MLP_TENSORS] = { (size_t)in * hidden, hidden, (size_t)hidden * out, out };
	static const char *const names[MLP_TENSORS] = { "W1", "b1", "W2", "b2" };
	unsigned int fan_in[MLP_TENSORS] = { in, 0, hidden, 0 };
	size_t at = 0, i;
	int t;

	*m = (struct mlp){ .in = in, .hidden = hidden, .out = out };
	for (t = 0; t < MLP_TENSORS; t++)
		m->count += sizes[t];
	m->w = calloc(m->count, sizeof(float));
	m->g = calloc(m->count, sizeof(float));
	m->h = calloc(2 * (size_t)hidden + out, sizeof(float));
	if (!m->w || !m->g || !m->h) {
		mlp_free(m);
		return -ENOMEM;
	}
	m->dh = m->h + hidden;
	m->o = m->dh + hidden;
	for (t = 0; t < MLP_TENSORS; t++) {
		m->tensor[t] = (struct mlp_tensor){ names[t], m->w + at, m->g + at, sizes[t] };
		at += sizes[t];
		for (i = 0; fan_in[t] && i < sizes[t]; i++)
			m->tensor[t].w[i] = rng_uniform(&seed, sqrtf(3.0f / (float)fan_in[t]));
	}
	return 0;
}

void mlp_free(struct mlp *m)
{
	free(m->w);
	free(m->g);
	free(m->h);
	memset(m, 0, sizeof(*m));
}

/* Fills h (after the rectifier) and o (before the softmax). */
static void forward(struct mlp *m, const uint8_t *x)
{
	const float *w1 = m->tensor[0].w, *b1 = m->tensor[1].w;
	const float *w2 = m->tensor[2].w, *b2 = m->tensor[3].w;
	unsigned int i;

	memcpy(m->h, b1, m->hidden * sizeof(float));
	for (i = 0; i < m->in; i++)
		if (x[i])
			add_row(m->h, (float)x[i] * PIXEL, w1 + (size_t)i * m->hidden, m->hidden);
	memcpy(m->o, b2, m->out * sizeof(float));
	for (i = 0; i < m->hidden; i++) {
		if (m->h[i] > 0.0f)
			add_row(m->o, m->h[i], w2 + (size_t)i * m->out, m->out);
		else
			m->h[i] = 0.0f;
	}
}

/* o becomes scale * (softmax(o) - one-hot(label)); returns the sample's loss. */
static double softmax_loss(struct mlp *m, unsigned int label, float scale)
{
	double top = m->o[0], sum = 0.0, p = 0.0;
	unsigned int k;

	for (k = 1; k < m->out; k++)
		if (m->o[k] > top)
			top = m->o[k];
	for (k = 0; k < m->out; k++)
		sum += fm_exp(m->o[k] - top);
	for (k = 0; k < m->out; k++) {
		double pk = fm_exp(m->o[k] - top) / sum;

		if (k == label)
			p = pk;
		m->o[k] = (float)(pk - (k == label)) * scale;
	}
	return p > 1e-300 ? -fm_log(p) : -fm_log(1e-300);
}

static void backward(struct mlp *m, const uint8_t *x)
{
	float *g1 = m->tensor[0].g, *g2 = m->tensor[2].g;
	const float *w2 = m->tensor[2].w;
	unsigned int i, k;

	add_row(m->tensor[3].g, 1.0f, m->o, m->out);
	for (i = 0; i < m->hidden; i++) {
		m->dh[i] = 0.0f;
		if (m->h[i] == 0.0f)
			continue;
		add_row(g2 + (size_t)i * m->out, m->h[i], m->o, m->out);
		for (k = 0; k < m->out; k++)
			m->dh[i] += w2[(size_t)i * m->out + k] * m->o[k];
	}
	add_row(m->tensor[1].g, 1.0f, m->dh, m->hidden);
	for (i = 0; i < m->in; i++)
		if (x[i])
			add_row(g1 + (size_t)i * m->hidden, (float)x[i] * PIXEL, m->dh, m->hidden);
}

double mlp_gradient(struct mlp *m, const uint8_t *const *x, const uint8_t *y, unsigned int n)
{
	double loss = 0.0;
	unsigned int s;

	memset(m->g, 0, m->count * sizeof(float));
	for (s = 0; s < n; s++) {
		forward(m, x[s]);
		loss += softmax_loss(m, y[s], 1.0f / (float)n);
		backward(m, x[s]);
	}
	return loss;
}

unsigned int mlp_classify(struct mlp *m, const uint8_t *x)
{
	unsigned int k, best = 0;

	forward(m, x);
	for (k = 1; k < m->out; k++)
		if (m->o[k] > m->o[best])
			best = k;
	return best;
}
