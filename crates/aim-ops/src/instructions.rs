//! What this processor makes of the kernels.

/// Instruction set of the CPU kernels on this processor: `avx512`, `avx2` or `portable`. For one instruction set,
/// results are the same bits on every machine.
pub fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") && avx2 {
            return "avx512";
        }
        if avx2 {
            return "avx2";
        }
    }
    "portable"
}
