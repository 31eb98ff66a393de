//! Lets the compiler use the processor's widest vectors for ordinary loops.
//!
//! No multiplication is contracted with an addition, so results are the same for every instruction set.

/// Makes a function of a kernel: compiled for every instruction set, the best one chosen at run time.
///
/// A closure given to a function with `target_feature` is compiled for the instruction set only if the compiler sees
/// fit to inline it, which it does not if it is long. The body of a kernel always is; what it calls should be short or
/// `#[inline(always)]`.
///
/// `narrow` leaves AVX-512 out: of small arrays of vectors the compiler makes gathers and scatters there.
macro_rules! kernel {
    (narrow $($function:tt)*) => { kernel! { @false $($function)* } };
    ($(#[$meta:meta])* $vis:vis fn $($function:tt)*) => { kernel! { @true $(#[$meta])* $vis fn $($function)* } };
    (
        @$wide:literal
        $(#[$meta:meta])*
        $vis:vis fn $name:ident $(<const $n:ident: usize, $f:ident: $bound:path>)? (
            $($arg:ident: $ty:ty),* $(,)?
        ) $(-> $ret:ty)? $body:block
    ) => {
        $(#[$meta])*
        $vis fn $name $(<const $n: usize, $f: $bound>)? ($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn plain $(<const $n: usize, $f: $bound>)? ($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx2")]
                fn avx512 $(<const $n: usize, $f: $bound>)? ($($arg: $ty),*) $(-> $ret)? {
                    plain($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2 $(<const $n: usize, $f: $bound>)? ($($arg: $ty),*) $(-> $ret)? {
                    plain($($arg),*)
                }
                if $wide && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                    // SAFETY: the processor has the instruction set.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has the instruction set.
                    return unsafe { avx2($($arg),*) };
                }
            }
            plain($($arg),*)
        }
    };
}
/// Calls the function of the caller's module `avx2` if the processor has the instruction set; gives the number of
/// elements that it has done.
macro_rules! by_vectors {
    ($name:ident($($arg:expr),*)) => {{
        #[cfg(target_arch = "x86_64")]
        let done = if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the instruction set.
            unsafe { avx2::$name($($arg),*) }
        } else {
            0
        };
        #[cfg(not(target_arch = "x86_64"))]
        let done = 0;
        done
    }};
}

pub(crate) use {by_vectors, kernel};
