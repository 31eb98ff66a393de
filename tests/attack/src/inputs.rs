//! The inputs of a target: its samples, then samples that are changed by a generator that the input's number keys.

use aim_core::Rng;

use crate::Target;

/// Longest input beside the samples themselves.
const LONGEST: usize = 1 << 17;

/// Numbers in words that readers of texts meet.
const NUMBERS: [&str; 14] = [
    "0",
    "1",
    "-1",
    "255",
    "65536",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "99999999999999999999999",
    "0.1",
    "1e999",
    "NaN",
    "-inf",
];

/// Words that mean something in every format.
const COMMON: [&str; 14] =
    ["\0", "\n", "\r\n", "\u{feff}", "\"", "'", "{", "}", "[", "]", ",", ": ", "null", "\u{2028}é\u{1f600}"];

/// The input of a number: the samples in their order, then changed ones.
pub fn input(target: &Target, samples: &[Vec<u8>], seed: u64, number: u64) -> Vec<u8> {
    if let Some(whole) = usize::try_from(number).ok().and_then(|at| samples.get(at)) {
        return whole.clone();
    }
    let mut rng = Rng::keyed(seed, &format!("{}.{number}", target.name));
    let mut bytes = samples[rng.below(samples.len())].clone();
    let other = &samples[rng.below(samples.len())];
    let most = bytes.len().max(LONGEST);
    for _ in 0..1 + rng.below(3) * rng.below(4) {
        change(&mut bytes, other, target.words, &mut rng);
        bytes.truncate(most);
    }
    bytes
}

/// The words of a target in the form that libFuzzer reads.
pub fn dictionary(target: &Target) -> String {
    let words = target.words.iter().chain(&COMMON).chain(&NUMBERS);
    let escaped = |word: &&str| word.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    words.map(|word| format!("\"{}\"\n", escaped(word))).collect()
}

/// One change.
fn change(bytes: &mut Vec<u8>, other: &[u8], words: &[&str], rng: &mut Rng) {
    let at = rng.below(bytes.len() + 1);
    let most = 1 << rng.below(12);
    let end = at + rng.below((bytes.len() - at).min(most) + 1);
    match rng.below(12) {
        0 => flip(bytes, at, rng),
        1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = [0, 1, 0x7f, 0x80, 0xff][rng.below(5)]),
        2 => extreme(bytes, at, rng),
        3 => drop(bytes.splice(at..at, (0..1 + rng.below(16)).map(|_| rng.below(256) as u8).collect::<Vec<_>>())),
        4 => drop(bytes.drain(at..end)),
        5 => repeat(bytes, at, end, rng),
        6 => splice(bytes, at, other, rng),
        7 => bytes.truncate(at),
        8 => number(bytes, at, rng),
        9 => bytes[at..end].reverse(),
        10 => word(bytes, at, at, words, rng),
        _ => word(bytes, at, end, words, rng),
    }
}

fn flip(bytes: &mut [u8], at: usize, rng: &mut Rng) {
    bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << rng.below(8));
}

/// A whole number at an edge of its type, in either order of bytes.
fn extreme(bytes: &mut [u8], at: usize, rng: &mut Rng) {
    let width = 1 << rng.below(4);
    let edges =
        [0, 1, u64::MAX, u64::MAX >> 1, 1 << (8 * width - 1), 1 << (4 * width), u64::MAX - rng.below(64) as u64];
    let value = edges[rng.below(edges.len())].to_le_bytes();
    let mut value = value[..width].to_vec();
    if rng.below(2) == 0 {
        value.reverse();
    }
    bytes.iter_mut().skip(at).zip(value).for_each(|(byte, new)| *byte = new);
}

/// The part once more, or many times.
fn repeat(bytes: &mut Vec<u8>, at: usize, end: usize, rng: &mut Rng) {
    let most = 1 << rng.below(10);
    let part = bytes[at..end].repeat(1 + rng.below(most));
    bytes.splice(at..at, part.into_iter().take(LONGEST));
}

/// A part of another sample in place of the rest, or among it.
fn splice(bytes: &mut Vec<u8>, at: usize, other: &[u8], rng: &mut Rng) {
    let from = rng.below(other.len() + 1);
    let end = if rng.below(2) == 0 { bytes.len() } else { at };
    bytes.splice(at..end, other[from..].iter().copied());
}

/// The next number that stands in digits becomes another.
fn number(bytes: &mut Vec<u8>, at: usize, rng: &mut Rng) {
    let digit = |byte: &u8| byte.is_ascii_digit();
    let Some(start) = bytes[at..].iter().position(digit).map(|start| at + start) else { return };
    let end = bytes[start..].iter().position(|byte| !digit(byte)).map_or(bytes.len(), |length| start + length);
    bytes.splice(start..end, NUMBERS[rng.below(NUMBERS.len())].bytes());
}

/// A word in place of a part.
fn word(bytes: &mut Vec<u8>, at: usize, end: usize, words: &[&str], rng: &mut Rng) {
    let all = words.len() + COMMON.len();
    let chosen = rng.below(all);
    let word = words.get(chosen).unwrap_or_else(|| &COMMON[chosen - words.len()]);
    bytes.splice(at..end, word.bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find;

    #[test]
    fn a_number_makes_the_same_input_again_and_others_make_others() {
        let target = find("picture").unwrap();
        let samples = (target.samples)();
        let of = |seed, number| input(target, &samples, seed, number);
        assert_eq!(of(0, 0), samples[0]);
        let late = samples.len() as u64 + 5;
        assert_eq!(of(0, late), of(0, late));
        let changed = (late..late + 100).filter(|n| of(0, *n) != of(1, *n) && !samples.contains(&of(0, *n))).count();
        assert!(changed > 80, "{changed}");
    }

    #[test]
    fn words_are_escaped_as_libfuzzer_reads_them() {
        assert!(dictionary(find("picture").unwrap()).contains("\"\\x49\\x48\\x44\\x52\"\n"));
    }
}
