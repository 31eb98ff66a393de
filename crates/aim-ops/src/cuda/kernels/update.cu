// Optimizer steps, in place.

KERNEL sgd(float* param, const float* grad, float* buf, float lr, float decay, float momentum, float share, i64 first,
           i64 nesterov, i64 n) {
    ELEMENT(i, n);
    const float g = grad[i] + param[i] * decay;
    float step = g;
    if (buf) {
        buf[i] = first ? g : buf[i] * momentum + g * share;
        step = nesterov ? g + buf[i] * momentum : buf[i];
    }
    param[i] -= step * lr;
}

KERNEL adam(float* param, const float* grad, float* m, float* v, float* v_max, float shrink, float decay, float keep_m,
            float new_m, float keep_v, float new_v, float root, float eps, float rate, i64 n) {
    ELEMENT(i, n);
    const float g = grad[i] + param[i] * decay;
    m[i] = m[i] * keep_m + g * new_m;
    float second = v[i] = v[i] * keep_v + g * g * new_v;
    if (v_max) second = v_max[i] = fmaxf(v_max[i], second);
    param[i] = param[i] * shrink - m[i] / (sqrtf(second) * root + eps) * rate;
}

KERNEL adagrad(float* param, const float* grad, float* sum, float rate, float decay, float eps, i64 n) {
    ELEMENT(i, n);
    const float g = grad[i] + param[i] * decay;
    sum[i] += g * g;
    param[i] -= g / (sqrtf(sum[i]) + eps) * rate;
}

KERNEL rmsprop(float* param, const float* grad, float* square, float* mean, float* buf, float lr, float alpha, float fresh,
               float eps, float decay, float momentum, i64 n) {
    ELEMENT(i, n);
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
