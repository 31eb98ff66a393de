// What all kernels share. THREADS, the threads of a block, is defined by the compiler's command line; grids are one-dimensional.

typedef long long i64;
typedef unsigned long long u64;

#define KERNEL extern "C" __global__ void

// The element of this thread, and whether there is one.
#define ELEMENT(i, n) const i64 i = (i64)blockIdx.x * THREADS + threadIdx.x; if (i >= n) return

// Runs over [0, n) by the threads of a block together.
#define EACH(i, n) for (i64 i = threadIdx.x; i < n; i += THREADS)

// The sum of `v` over the block's threads, in an order that does not change; every thread gets it.
__device__ float block_sum(float v) {
    __shared__ float part[THREADS];
    part[threadIdx.x] = v;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    const float sum = part[0];
    __syncthreads();
    return sum;
}

// The largest `v` of the block's threads; every thread gets it.
__device__ float block_max(float v) {
    __shared__ float part[THREADS];
    part[threadIdx.x] = v;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) part[threadIdx.x] = fmaxf(part[threadIdx.x], part[threadIdx.x + half]);
        __syncthreads();
    }
    const float most = part[0];
    __syncthreads();
    return most;
}

// The compiler brings no header that would define it.
#define NOT_A_NUMBER (0.f / 0.f)

// Bits number `index` of a key: the same as on the CPU.
__device__ u64 bits_of(u64 key, u64 index) {
    u64 z = key + index * 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}
