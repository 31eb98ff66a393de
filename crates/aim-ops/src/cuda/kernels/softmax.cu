// Softmax and losses over rows of logits: a block for each row.

// The largest element of a row, and the logarithm of the sum of exponentials above it.
struct Peak { float most, log_sum; };
__device__ Peak peak(const float* x, i64 width) {
    float most = x[0], s = 0;
    EACH(i, width) most = fmaxf(most, x[i]);
    most = block_max(most);
    EACH(i, width) s += expf(x[i] - most);
    return Peak{most, logf(block_sum(s))};
}

KERNEL softmax(const float* x, float* y, i64 width) {
    x += blockIdx.x * width, y += blockIdx.x * width;
    const Peak p = peak(x, width);
    EACH(i, width) y[i] = expf(x[i] - p.most - p.log_sum);
}

KERNEL softmax_back(const float* y, const float* dy, float* dx, i64 width) {
    y += blockIdx.x * width, dy += blockIdx.x * width, dx += blockIdx.x * width;
    float s = 0;
    EACH(i, width) s += y[i] * dy[i];
    s = block_sum(s);
    EACH(i, width) dx[i] = y[i] * (dy[i] - s);
}

KERNEL log_softmax(const float* x, float* y, i64 width) {
    x += blockIdx.x * width, y += blockIdx.x * width;
    const Peak p = peak(x, width);
    EACH(i, width) y[i] = x[i] - p.most - p.log_sum;
}

KERNEL log_softmax_back(const float* y, const float* dy, float* dx, i64 width) {
    y += blockIdx.x * width, dy += blockIdx.x * width, dx += blockIdx.x * width;
    float s = 0;
    EACH(i, width) s += dy[i];
    s = block_sum(s);
    EACH(i, width) dx[i] = dy[i] - expf(y[i]) * s;
}

// The target's share of class i: of a label with smoothing, or of a given distribution.
__device__ float target(const unsigned* label, const float* targets, float smoothing, i64 width, i64 i) {
    if (targets) return targets[blockIdx.x * width + i];
    return (label[blockIdx.x] == i ? 1 - smoothing : 0) + smoothing / width;
}

// The loss of each row, from labels or, where `targets` is not null, from distributions. A label out of range gives NaN,
// which costs no wait for the device.
KERNEL cross_entropy(const float* x, const unsigned* label, const float* targets, float* loss, float smoothing, i64 width) {
    x += blockIdx.x * width;
    const Peak p = peak(x, width);
    float s = 0;
    EACH(i, width) {
        const float t = target(label, targets, smoothing, width, i);
        if (t != 0) s -= t * (x[i] - p.most - p.log_sum);
    }
    s = block_sum(s);
    if (threadIdx.x == 0) loss[blockIdx.x] = targets || label[blockIdx.x] < width ? s : NOT_A_NUMBER;
}

KERNEL cross_entropy_back(const float* x, const unsigned* label, const float* targets, const float* dloss, float* dx,
                          float smoothing, i64 width) {
    x += blockIdx.x * width, dx += blockIdx.x * width;
    const Peak p = peak(x, width);
    float s = 0;
    EACH(i, width) s += target(label, targets, smoothing, width, i);
    s = block_sum(s);
    EACH(i, width) {
        const float t = target(label, targets, smoothing, width, i);
        dx[i] = dloss[blockIdx.x] * (s * expf(x[i] - p.most - p.log_sum) - t);
    }
}
