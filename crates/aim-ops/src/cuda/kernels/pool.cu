// Pooling of planes x [height, width] to y [rows, columns] by square windows.

// Which element wins each window, the first of equals; padding never does, NaN does and stays.
KERNEL max_pool(const float* x, float* y, unsigned* winner, i64 height, i64 width, i64 rows, i64 columns, i64 kernel,
                i64 stride, i64 padding, i64 n) {
    ELEMENT(i, n);
    x += i / (rows * columns) * height * width;
    const i64 top = i / columns % rows * stride - padding, left = i % columns * stride - padding;
    i64 best = -1;
    for (i64 u = top < 0 ? 0 : top; u < top + kernel && u < height; u++)
        for (i64 v = left < 0 ? 0 : left; v < left + kernel && v < width; v++)
            if (best < 0 || !(x[u * width + v] <= x[best] || x[best] != x[best])) best = u * width + v;
    y[i] = x[best];
    winner[i] = (unsigned)best;
}

// Each element of x collects from the windows that it is in and wins.
KERNEL max_pool_back(const float* dy, const unsigned* winner, float* dx, i64 height, i64 width, i64 rows, i64 columns,
                     i64 kernel, i64 stride, i64 padding, i64 n) {
    ELEMENT(i, n);
    const i64 plane = i / (height * width), me = i % (height * width), u = me / width, v = me % width;
    dy += plane * rows * columns, winner += plane * rows * columns;
    float s = 0;
    const i64 first_row = u + padding < kernel ? 0 : (u + padding - kernel) / stride + 1;
    const i64 first_column = v + padding < kernel ? 0 : (v + padding - kernel) / stride + 1;
    for (i64 p = first_row; p < rows && p * stride <= u + padding; p++)
        for (i64 q = first_column; q < columns && q * stride <= v + padding; q++)
            if (winner[p * columns + q] == me) s += dy[p * columns + q];
    dx[i] = s;
}

// Padding counts as zeros.
KERNEL avg_pool(const float* x, float* y, i64 height, i64 width, i64 rows, i64 columns, i64 kernel, i64 stride, i64 padding,
                i64 n) {
    ELEMENT(i, n);
    x += i / (rows * columns) * height * width;
    const i64 top = i / columns % rows * stride - padding, left = i % columns * stride - padding;
    float s = 0;
    for (i64 u = top < 0 ? 0 : top; u < top + kernel && u < height; u++)
        for (i64 v = left < 0 ? 0 : left; v < left + kernel && v < width; v++) s += x[u * width + v];
    y[i] = s / (float)(kernel * kernel);
}

KERNEL avg_pool_back(const float* dy, float* dx, i64 height, i64 width, i64 rows, i64 columns, i64 kernel, i64 stride,
                     i64 padding, i64 n) {
    ELEMENT(i, n);
    const i64 plane = i / (height * width), u = i / width % height, v = i % width;
    dy += plane * rows * columns;
    float s = 0;
    const i64 first_row = u + padding < kernel ? 0 : (u + padding - kernel) / stride + 1;
    const i64 first_column = v + padding < kernel ? 0 : (v + padding - kernel) / stride + 1;
    for (i64 p = first_row; p < rows && p * stride <= u + padding; p++)
        for (i64 q = first_column; q < columns && q * stride <= v + padding; q++) s += dy[p * columns + q];
    dx[i] = s / (float)(kernel * kernel);
}

// Means of rows: a block for each.
KERNEL row_mean(const float* x, float* y, i64 width) {
    float s = 0;
    EACH(i, width) s += x[blockIdx.x * width + i];
    s = block_sum(s);
    if (threadIdx.x == 0) y[blockIdx.x] = s / width;
}

KERNEL row_mean_back(const float* dy, float* dx, i64 width, i64 n) {
    ELEMENT(i, n);
    dx[i] = dy[i / width] / width;
}
