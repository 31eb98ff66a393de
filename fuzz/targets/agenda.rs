//! The target `agenda` of the attack.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aim_fuzz::run("agenda", bytes));
