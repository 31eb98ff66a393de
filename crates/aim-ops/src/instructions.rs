//! What this processor makes of the kernels.

/// Instruction set of the CPU kernels on this processor: `amx` (AVX-512, with AMX for most matrix products), `avx512`,
/// `avx2` or `portable`. For one instruction set, results are the same bits on every machine.
pub fn instruction_set() -> &'static str {
    crate::cpu::kernel::isa().name
}
