// Batch normalisation whose channels are split over blocks, so that a few channels keep the whole device busy: a block for
// each of `parts` stretches of a channel, which is batch * plane elements long. These lengths fit 32 bits.

struct Stretch {
    unsigned channel, from, to;
};

// Elements of stretch number `part`.
__device__ unsigned stretch_length(unsigned part, i64 parts, i64 count) {
    const unsigned length = (count + parts - 1) / parts, from = part * length;
    return from >= count ? 0 : from + length > count ? count - from : length;
}

// The stretch of this block.
__device__ Stretch stretch(i64 parts, i64 count) {
    const unsigned part = blockIdx.x % parts, from = part * (unsigned)((count + parts - 1) / parts);
    return {(unsigned)(blockIdx.x / parts), from, from + stretch_length(part, parts, count)};
}

// Runs over the elements of stretch `s` by the threads of a block together: `at` is each one's place.
#define STRETCH(i, at, s)                                                                                                    \
    for (unsigned i = (s).from + threadIdx.x; i < (s).to; i += THREADS)                                                      \
        for (i64 at = ((i64)(i / (unsigned)plane) * channels + (s).channel) * plane + i % (unsigned)plane, once = 1; once;    \
             once = 0)

struct Moments {
    float mean, squares;
};

// Mean and sum of the squared deviations of a channel, from those of its stretches; every thread gets them.
__device__ Moments combined(const float* moments, i64 parts, i64 count) {
    float s = 0, squares = 0;
    EACH(p, parts) s += moments[2 * p] * stretch_length(p, parts, count);
    const float m = block_sum(s) / count;
    EACH(p, parts) {
        const float d = moments[2 * p] - m;
        squares += moments[2 * p + 1] + stretch_length(p, parts, count) * d * d;
    }
    return {m, block_sum(squares)};
}

// Mean and sum of the squared deviations from it of each stretch.
KERNEL batch_moments_parts(const float* x, float* moments, i64 parts, i64 batch, i64 channels, i64 plane) {
    const Stretch own = stretch(parts, batch * plane);
    const float length = (float)(own.to - own.from);
    float s = 0, squares = 0;
    STRETCH(i, at, own) s += x[at];
    const float m = length > 0 ? block_sum(s) / length : 0;
    STRETCH(i, at, own) squares += (x[at] - m) * (x[at] - m);
    squares = block_sum(squares);
    if (threadIdx.x == 0) {
        moments[2 * blockIdx.x] = m;
        moments[2 * blockIdx.x + 1] = squares;
    }
}

// As batch_norm. With `moments`, mean and variance are those of the stretches, and are written.
KERNEL batch_norm_parts(const float* x, const float* moments, float* mean, float* var, const float* gamma, const float* beta,
                        const float* residual, float* y, float eps, i64 rectify, i64 parts, i64 batch, i64 channels,
                        i64 plane) {
    const i64 count = batch * plane;
    const Stretch own = stretch(parts, count);
    const unsigned c = own.channel;
    float m, v;
    if (moments) {
        const Moments all = combined(moments + 2 * c * parts, parts, count);
        m = all.mean;
        v = all.squares / count;
        if (own.from == 0 && threadIdx.x == 0) {
            mean[c] = m;
            var[c] = v;
        }
    } else {
        m = mean[c];
        v = var[c];
    }
    const float scale = gamma[c] / sqrtf(v + eps);
    STRETCH(i, at, own) {
        const float r = (x[at] - m) * scale + beta[c] + (residual ? residual[at] : 0);
        y[at] = rectify && r <= 0 ? 0 : r;
    }
}

// Each stretch's share of the gradients of gamma and beta.
KERNEL batch_norm_params_parts(const float* x, const float* y, const float* dy, const float* mean, const float* var,
                               float* shares, float eps, i64 rectify, i64 parts, i64 batch, i64 channels, i64 plane) {
    const Stretch own = stretch(parts, batch * plane);
    const float m = mean[own.channel], scale = 1 / sqrtf(var[own.channel] + eps);
    float of_gamma = 0, of_beta = 0;
    STRETCH(i, at, own) {
        const float g = rectify && y[at] <= 0 ? 0 : dy[at];
        of_gamma += g * (x[at] - m) * scale;
        of_beta += g;
    }
    of_gamma = block_sum(of_gamma);
    of_beta = block_sum(of_beta);
    if (threadIdx.x == 0) {
        shares[2 * blockIdx.x] = of_gamma;
        shares[2 * blockIdx.x + 1] = of_beta;
    }
}

// As batch_norm_back, which also writes the gradients of gamma and beta.
KERNEL batch_norm_back_parts(const float* x, const float* y, const float* dy, const float* mean, const float* var,
                             const float* gamma, const float* shares, float* dgamma, float* dbeta, float* dx,
                             float* dresidual, float eps, i64 rectify, i64 own_moments, i64 parts, i64 batch, i64 channels,
                             i64 plane) {
    const i64 count = batch * plane;
    const Stretch own = stretch(parts, count);
    const unsigned c = own.channel;
    shares += 2 * c * parts;
    float of_gamma = 0, of_beta = 0;
    EACH(p, parts) {
        of_gamma += shares[2 * p];
        of_beta += shares[2 * p + 1];
    }
    of_gamma = block_sum(of_gamma);
    of_beta = block_sum(of_beta);
    if (own.from == 0 && threadIdx.x == 0) {
        dgamma[c] = of_gamma;
        dbeta[c] = of_beta;
    }
    const float m = mean[c], scale = 1 / sqrtf(var[c] + eps);
    STRETCH(i, at, own) {
        const float g = rectify && y[at] <= 0 ? 0 : dy[at];
        const float pulled = own_moments ? (of_beta + (x[at] - m) * scale * of_gamma) / count : 0;
        dx[at] = gamma[c] * scale * (g - pulled);
        if (dresidual) dresidual[at] = g;
    }
}

// scale * x + (std(x) + floor) * n with n from the standard normal distribution; `moments` are those of x as one channel.
KERNEL noisy_parts(const float* x, const float* moments, float* y, float scale, float floor, u64 key, i64 parts, i64 n) {
    const float spread = sqrtf(combined(moments, parts, n).squares / (n - 1));
    // NaN for a single element, which has none.
    const float std = (spread - spread == 0 ? spread : 0) + floor;
    const Stretch own = stretch(parts, n);
    for (unsigned i = own.from + threadIdx.x; i < own.to; i += THREADS) y[i] = scale * x[i] + std * normal(key, i);
}
