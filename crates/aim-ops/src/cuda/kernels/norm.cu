// Batch and layer normalisation.

// Mean and biased variance of each channel of x [batch, channels, plane]: a block for each channel.
KERNEL batch_moments(const float* x, float* mean, float* var, i64 batch, i64 channels, i64 plane) {
    const i64 channel = blockIdx.x, count = batch * plane;
    float s = 0;
    EACH(i, count) s += x[(i / plane * channels + channel) * plane + i % plane];
    const float m = block_sum(s) / count;
    float squares = 0;
    EACH(i, count) {
        const float d = x[(i / plane * channels + channel) * plane + i % plane] - m;
        squares += d * d;
    }
    squares = block_sum(squares);
    if (threadIdx.x == 0) {
        mean[channel] = m;
        var[channel] = squares / count;
    }
}

// act(gamma * (x - mean) / sqrt(var + eps) + beta + residual); residual may be null.
KERNEL batch_norm(const float* x, const float* mean, const float* var, const float* gamma, const float* beta,
                  const float* residual, float* y, float eps, i64 rectify, i64 channels, i64 plane, i64 n) {
    ELEMENT(i, n);
    const i64 c = i / plane % channels;
    const float scale = gamma[c] / sqrtf(var[c] + eps);
    const float v = (x[i] - mean[c]) * scale + beta[c] + (residual ? residual[i] : 0);
    y[i] = rectify && v <= 0 ? 0 : v;
}

// Gradients of gamma and beta: a block for each channel.
KERNEL batch_norm_params(const float* x, const float* y, const float* dy, const float* mean, const float* var,
                         float* dgamma, float* dbeta, float eps, i64 rectify, i64 batch, i64 channels, i64 plane) {
    const i64 channel = blockIdx.x;
    const float m = mean[channel], scale = 1 / sqrtf(var[channel] + eps);
    float of_gamma = 0, of_beta = 0;
    EACH(i, batch * plane) {
        const i64 at = (i / plane * channels + channel) * plane + i % plane;
        const float g = rectify && y[at] <= 0 ? 0 : dy[at];
        of_gamma += g * (x[at] - m) * scale;
        of_beta += g;
    }
    of_gamma = block_sum(of_gamma);
    of_beta = block_sum(of_beta);
    if (threadIdx.x == 0) {
        dgamma[channel] = of_gamma;
        dbeta[channel] = of_beta;
    }
}

// Gradients of x and, unless null, of the residual. With `own`, mean and variance are those of x and pass gradients as well.
KERNEL batch_norm_back(const float* x, const float* y, const float* dy, const float* mean, const float* var,
                       const float* gamma, const float* dgamma, const float* dbeta, float* dx, float* dresidual, float eps,
                       i64 rectify, i64 own, i64 channels, i64 plane, i64 n) {
    ELEMENT(i, n);
    const i64 c = i / plane % channels;
    const float g = rectify && y[i] <= 0 ? 0 : dy[i];
    const float scale = 1 / sqrtf(var[c] + eps);
    float centred = g;
    if (own) {
        const float count = (float)(n / channels);
        centred -= (dbeta[c] + (x[i] - mean[c]) * scale * dgamma[c]) / count;
    }
    dx[i] = gamma[c] * scale * centred;
    if (dresidual) dresidual[i] = g;
}

// A block for each row; mean and 1 / std are kept for the gradients.
KERNEL layer_norm(const float* x, const float* gamma, const float* beta, float* y, float* mean, float* rstd, float eps,
                  i64 width) {
    const i64 row = blockIdx.x;
    x += row * width, y += row * width;
    float s = 0, squares = 0;
    EACH(i, width) s += x[i];
    const float m = block_sum(s) / width;
    EACH(i, width) squares += (x[i] - m) * (x[i] - m);
    const float r = 1 / sqrtf(block_sum(squares) / width + eps);
    EACH(i, width) y[i] = (x[i] - m) * r * gamma[i] + beta[i];
    if (threadIdx.x == 0) {
        mean[row] = m;
        rstd[row] = r;
    }
}

KERNEL layer_norm_back(const float* x, const float* dy, const float* gamma, const float* mean, const float* rstd, float* dx,
                       i64 width) {
    const i64 row = blockIdx.x;
    x += row * width, dy += row * width, dx += row * width;
    const float m = mean[row], r = rstd[row];
    float s = 0, along = 0;
    EACH(i, width) {
        const float g = dy[i] * gamma[i];
        s += g;
        along += g * (x[i] - m) * r;
    }
    s = block_sum(s) / width;
    along = block_sum(along) / width;
    EACH(i, width) dx[i] = r * (dy[i] * gamma[i] - s - (x[i] - m) * r * along);
}

// Gradients of gamma and beta: a block for LANES columns, as in column_sum.
KERNEL layer_norm_params(const float* x, const float* dy, const float* mean, const float* rstd, float* dgamma, float* dbeta,
                         i64 rows, i64 width) {
    __shared__ float part[2][THREADS];
    const i64 column = (i64)blockIdx.x * LANES + threadIdx.x % LANES;
    float of_gamma = 0, of_beta = 0;
    if (column < width)
        for (i64 row = threadIdx.x / LANES; row < rows; row += THREADS / LANES) {
            const float g = dy[row * width + column];
            of_gamma += g * (x[row * width + column] - mean[row]) * rstd[row];
            of_beta += g;
        }
    part[0][threadIdx.x] = of_gamma;
    part[1][threadIdx.x] = of_beta;
    __syncthreads();
    if (threadIdx.x < LANES && column < width) {
        for (int i = LANES; i < THREADS; i += LANES) {
            of_gamma += part[0][threadIdx.x + i];
            of_beta += part[1][threadIdx.x + i];
        }
        dgamma[column] = of_gamma;
        dbeta[column] = of_beta;
    }
}
