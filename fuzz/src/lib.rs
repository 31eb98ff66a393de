//! The targets of the attack under libFuzzer, which looks for inputs that reach new code.

/// Hands a file's bytes to the target of this name.
///
/// # Panics
/// If the target does, or there is none of this name.
pub fn run(name: &str, bytes: &[u8]) {
    let target = aim_attack::find(name).unwrap_or_else(|| panic!("there is no target `{name}`"));
    (target.run)(bytes);
}
