// Runs the kernels on the CPU, for tests. The threads of a block are fibers that take turns at each __syncthreads, in ascending
// or descending order, so that a missing one shows as a wrong result in one of both.

#include <ucontext.h>

#include <cmath>
#include <functional>
#include <type_traits>
#include <utility>

#define THREADS 64
#define __global__
#define __device__ static
#define __shared__ static

static struct { unsigned x; } threadIdx, blockIdx;

namespace fibers {
static ucontext_t scheduler, fiber[THREADS];
static char stack[THREADS][1 << 16];
static bool done[THREADS];
static std::function<void()> body;

static void entry() {
    body();
    done[threadIdx.x] = true;
}

static void run_block(bool descending) {
    for (int t = 0; t < THREADS; t++) {
        getcontext(&fiber[t]);
        fiber[t].uc_stack.ss_sp = stack[t];
        fiber[t].uc_stack.ss_size = sizeof stack[t];
        fiber[t].uc_link = &scheduler;
        makecontext(&fiber[t], entry, 0);
        done[t] = false;
    }
    for (bool busy = true; busy;) {
        busy = false;
        for (int i = 0; i < THREADS; i++) {
            const int t = descending ? THREADS - 1 - i : i;
            if (done[t]) continue;
            threadIdx.x = t;
            swapcontext(&scheduler, &fiber[t]);
            busy |= !done[t];
        }
    }
}
}  // namespace fibers

static void __syncthreads() {
    const unsigned me = threadIdx.x;
    swapcontext(&fibers::fiber[me], &fibers::scheduler);
}

struct Word {
    long long kind;
    union { long long bits; float number; };
};

template <class T> struct Parameter {
    static constexpr long long kind = std::is_class_v<T> ? 2 : std::is_same_v<T, float> ? 1 : 0;
    static T of(const Word& w) {
        if constexpr (kind == 2) return *(const T*)w.bits;
        else if constexpr (kind == 1) return w.number;
        else return (T)w.bits;
    }
};

template <class... A, size_t... I>
static int run(void (*kernel)(A...), long long blocks, const Word* words, long long count, bool descending,
               std::index_sequence<I...>) {
    if (count != sizeof...(A) || !((words[I].kind == Parameter<A>::kind) && ...)) return 2;
    fibers::body = [=] { kernel(Parameter<A>::of(words[I])...); };
    for (long long b = 0; b < blocks; b++) {
        blockIdx.x = (unsigned)b;
        fibers::run_block(descending);
    }
    return 0;
}

template <class... A>
static int start(void (*kernel)(A...), long long blocks, const Word* words, long long count, bool descending) {
    return run(kernel, blocks, words, count, descending, std::index_sequence_for<A...>{});
}
