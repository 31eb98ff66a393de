// Operations that treat each element by itself, and sums of rows and columns.

KERNEL relu(const float* x, float* y, i64 n) {
    ELEMENT(i, n);
    y[i] = x[i] <= 0 ? 0 : x[i];
}

// From the result `y`, which is 0 where the derivative is.
KERNEL relu_back(const float* y, const float* dy, float* dx, i64 n) {
    ELEMENT(i, n);
    dx[i] = y[i] <= 0 ? 0 : dy[i];
}

KERNEL gelu(const float* x, float* y, i64 n) {
    ELEMENT(i, n);
    y[i] = x[i] * 0.5f * (1 + erff(x[i] * 0.70710678f));
}

KERNEL gelu_back(const float* x, const float* dy, float* dx, i64 n) {
    ELEMENT(i, n);
    const float below = 0.5f * (1 + erff(x[i] * 0.70710678f));
    const float density = 0.39894228f * expf(-0.5f * x[i] * x[i]);
    dx[i] = dy[i] * (below + x[i] * density);
}

// Its own gradient, too: the kept elements are a function of key and index.
KERNEL dropout(const float* x, float* y, u64 key, u64 dropped, float scale, i64 n) {
    ELEMENT(i, n);
    y[i] = (bits_of(key, i) >> 11) >= dropped ? x[i] * scale : 0;
}

// x[row, column, ...] + bias[column], where `inner` elements follow each column, with or without a rectifier behind it.
KERNEL add_bias(const float* x, const float* bias, float* y, i64 columns, i64 inner, i64 rectify, i64 n) {
    ELEMENT(i, n);
    const float v = x[i] + bias[i / inner % columns];
    y[i] = rectify && v <= 0 ? 0 : v;
}

// Sums of x [rows, columns, inner] over rows and inner: a block for each column.
KERNEL channel_sum(const float* x, float* sum, i64 rows, i64 columns, i64 inner) {
    const i64 column = blockIdx.x;
    float s = 0;
    EACH(i, rows * inner) s += x[(i / inner * columns + column) * inner + i % inner];
    s = block_sum(s);
    if (threadIdx.x == 0) sum[column] = s;
}

// Sums of x [rows, columns] over rows: a block for LANES columns, whose threads read neighbours.
#define LANES (THREADS < 32 ? THREADS : 32)
KERNEL column_sum(const float* x, float* sum, i64 rows, i64 columns) {
    __shared__ float part[THREADS];
    const i64 column = (i64)blockIdx.x * LANES + threadIdx.x % LANES;
    float s = 0;
    if (column < columns)
        for (i64 row = threadIdx.x / LANES; row < rows; row += THREADS / LANES) s += x[row * columns + column];
    part[threadIdx.x] = s;
    __syncthreads();
    if (threadIdx.x < LANES && column < columns) {
        for (int i = LANES; i < THREADS; i += LANES) s += part[threadIdx.x + i];
        sum[column] = s;
    }
}

// Number `i` from the standard normal distribution, drawn as on the CPU: 16 pairs for each 32 elements.
__device__ float normal(u64 key, i64 i) {
    const u64 bits = bits_of(key, (u64)(i / 32 * 16 + i % 16));
    const float u = (float)((int)(bits >> 40) + 1) * (1.f / 16777216.f);
    const float turn = (float)(int)(bits & 0xffffff) * (1.f / 16777216.f);
    const float radius = sqrtf(-2 * logf(u)), angle = 6.2831853f * turn;
    return radius * (i % 32 < 16 ? cosf(angle) : sinf(angle));
}

// scale * x + std * n with n from the standard normal distribution.
KERNEL noisy(const float* x, float* y, float scale, float std, u64 key, i64 n) {
    ELEMENT(i, n);
    y[i] = scale * x[i] + std * normal(key, i);
}

// Rows of table [rows, width]; ids out of range give NaN, which costs no wait for the device.
KERNEL embedding(const unsigned* ids, const float* table, float* y, i64 rows, i64 width, i64 n) {
    ELEMENT(i, n);
    const i64 id = ids[i / width];
    y[i] = id < rows ? table[id * width + i % width] : NOT_A_NUMBER;
}

// A block for each row of the table looks through all ids: no atomic sum, so the same bits in each run.
KERNEL embedding_back(const unsigned* ids, const float* dy, float* dtable, i64 count, i64 width) {
    const i64 row = blockIdx.x;
    EACH(d, width) {
        float s = 0;
        for (i64 i = 0; i < count; i++)
            if (ids[i] == row) s += dy[i * width + d];
        dtable[row * width + d] = s;
    }
}
