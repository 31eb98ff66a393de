// Optimizer steps, in place: of one tensor, or of many in one launch.

#define MANY 48

// Tensors of one launch: a block for each MANY_STRETCH elements of one of them.
#define MANY_STRETCH (4 * THREADS)
struct Many {
    // Parameter, gradient and state, whose pointers may be null.
    float* at[5][MANY];
    unsigned length[MANY], first_block[MANY], count;
};

// The tensor of this block.
__device__ unsigned owner(const Many& many) {
    unsigned k = 0;
    while (k + 1 < many.count && many.first_block[k + 1] <= blockIdx.x) k++;
    return k;
}

// Runs over this block's elements of the tensor `k` that owns it.
#define OWN_ELEMENTS(i, k)                                                                                                   \
    const unsigned k = owner(many), from = (blockIdx.x - many.first_block[k]) * MANY_STRETCH;                                \
    for (unsigned i = from + threadIdx.x; i < from + MANY_STRETCH && i < many.length[k]; i += THREADS)

__device__ void sgd_at(i64 i, float* param, const float* grad, float* buf, float lr, float decay, float momentum, float share,
                       i64 first, i64 nesterov) {
    const float g = grad[i] + param[i] * decay;
    float step = g;
    if (buf) {
        buf[i] = first ? g : buf[i] * momentum + g * share;
        step = nesterov ? g + buf[i] * momentum : buf[i];
    }
    param[i] -= step * lr;
}

KERNEL sgd(float* param, const float* grad, float* buf, float lr, float decay, float momentum, float share, i64 first,
           i64 nesterov, i64 n) {
    ELEMENT(i, n);
    sgd_at(i, param, grad, buf, lr, decay, momentum, share, first, nesterov);
}

KERNEL sgd_many(Many many, float lr, float decay, float momentum, float share, i64 first, i64 nesterov) {
    OWN_ELEMENTS(i, k)
        sgd_at(i, many.at[0][k], many.at[1][k], many.at[2][k], lr, decay, momentum, share, first, nesterov);
}

__device__ void adam_at(i64 i, float* param, const float* grad, float* m, float* v, float* v_max, float shrink, float decay,
                        float keep_m, float new_m, float keep_v, float new_v, float root, float eps, float rate) {
    const float g = grad[i] + param[i] * decay;
    m[i] = m[i] * keep_m + g * new_m;
    float second = v[i] = v[i] * keep_v + g * g * new_v;
    if (v_max) second = v_max[i] = fmaxf(v_max[i], second);
    param[i] = param[i] * shrink - m[i] / (sqrtf(second) * root + eps) * rate;
}

KERNEL adam(float* param, const float* grad, float* m, float* v, float* v_max, float shrink, float decay, float keep_m,
            float new_m, float keep_v, float new_v, float root, float eps, float rate, i64 n) {
    ELEMENT(i, n);
    adam_at(i, param, grad, m, v, v_max, shrink, decay, keep_m, new_m, keep_v, new_v, root, eps, rate);
}

KERNEL adam_many(Many many, float shrink, float decay, float keep_m, float new_m, float keep_v, float new_v, float root,
                 float eps, float rate) {
    OWN_ELEMENTS(i, k)
        adam_at(i, many.at[0][k], many.at[1][k], many.at[2][k], many.at[3][k], many.at[4][k], shrink, decay, keep_m, new_m,
                keep_v, new_v, root, eps, rate);
}

__device__ void adagrad_at(i64 i, float* param, const float* grad, float* sum, float rate, float decay, float eps) {
    const float g = grad[i] + param[i] * decay;
    sum[i] += g * g;
    param[i] -= g / (sqrtf(sum[i]) + eps) * rate;
}

KERNEL adagrad(float* param, const float* grad, float* sum, float rate, float decay, float eps, i64 n) {
    ELEMENT(i, n);
    adagrad_at(i, param, grad, sum, rate, decay, eps);
}

KERNEL adagrad_many(Many many, float rate, float decay, float eps) {
    OWN_ELEMENTS(i, k) adagrad_at(i, many.at[0][k], many.at[1][k], many.at[2][k], rate, decay, eps);
}

__device__ void rmsprop_at(i64 i, float* param, const float* grad, float* square, float* mean, float* buf, float lr,
                           float alpha, float fresh, float eps, float decay, float momentum) {
    const float g = grad[i] + param[i] * decay;
    float second = square[i] = square[i] * alpha + g * g * fresh;
    if (mean) {
        mean[i] = mean[i] * alpha + g * fresh;
        second -= mean[i] * mean[i];
    }
    float step = g / (sqrtf(second) + eps);
    if (buf) step = buf[i] = buf[i] * momentum + step;
    param[i] -= step * lr;
}

KERNEL rmsprop(float* param, const float* grad, float* square, float* mean, float* buf, float lr, float alpha, float fresh,
               float eps, float decay, float momentum, i64 n) {
    ELEMENT(i, n);
    rmsprop_at(i, param, grad, square, mean, buf, lr, alpha, fresh, eps, decay, momentum);
}

KERNEL rmsprop_many(Many many, float lr, float alpha, float fresh, float eps, float decay, float momentum) {
    OWN_ELEMENTS(i, k)
        rmsprop_at(i, many.at[0][k], many.at[1][k], many.at[2][k], many.at[3][k], many.at[4][k], lr, alpha, fresh, eps, decay,
                   momentum);
}
