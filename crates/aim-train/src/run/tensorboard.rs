//! TensorBoard's event files: records framed with masked CRC-32C, each an `Event` message of protocol buffers, written
//! by hand because four fields of two messages are all there is to it.

use super::{EpochLog, Outcome, Quantity};

/// The content of an event file: every number of the log. `start` is when the run began, in seconds since 1970;
/// `seconds` is how long each epoch took.
pub(super) fn events(log: &[EpochLog], seconds: &[f64], start: f64) -> Vec<u8> {
    let mut file = Vec::new();
    record(&event(start, None, &field(3, b"brain.Event:2")), &mut file);
    file.extend(further(log, seconds, start, 0));
    file
}

/// What epochs from `first` on add to it.
pub(super) fn further(log: &[EpochLog], seconds: &[f64], start: f64, first: usize) -> Vec<u8> {
    let mut file = Vec::new();
    let second = |epoch: usize| seconds.get(epoch).copied().unwrap_or_default();
    let mut now = (0..first).fold(start, |now, epoch| now + second(epoch));
    for (epoch, entry) in log.iter().enumerate().skip(first) {
        now += second(epoch);
        record(&event(now, Some(entry.epoch), &summary(&of_epoch(entry))), &mut file);
    }
    file
}

/// What the test scores add to it at the end.
pub(super) fn scored(outcome: &Outcome, seconds: &[f64], start: f64) -> Vec<u8> {
    let (mut file, now) = (Vec::new(), seconds.iter().fold(start, |now, second| now + second));
    record(&event(now, Some(outcome.epoch), &summary(&of_scores("test", &outcome.test))), &mut file);
    file
}

fn of_epoch(entry: &EpochLog) -> Vec<(String, f64)> {
    let mut scalars = vec![("lr".to_owned(), entry.lr)];
    for (name, quantity) in &entry.train {
        match quantity {
            Quantity::Number(value) => scalars.push((format!("train/{name}"), *value)),
            Quantity::List(values) => {
                scalars.extend(values.iter().enumerate().map(|(depth, v)| (format!("train/{name}/{depth}"), *v)));
            }
        }
    }
    scalars.extend(of_scores("validation", &entry.validation));
    scalars
}

fn of_scores(split: &str, scores: &crate::metrics::Scores) -> Vec<(String, f64)> {
    let own = scores.modality.iter().map(|(name, accuracy)| (format!("{split}/accuracy/{name}"), *accuracy));
    scores.values.iter().map(|(name, value)| (format!("{split}/{name}"), *value)).chain(own).collect()
}

/// `Event { wall_time: 1, step: 2, … }`; `rest` is its encoded content.
fn event(wall_time: f64, step: Option<usize>, rest: &[u8]) -> Vec<u8> {
    let mut message = vec![0x09];
    message.extend(wall_time.to_le_bytes());
    if let Some(step) = step {
        message.push(0x10);
        varint(step as u64, &mut message);
    }
    message.extend(rest);
    message
}

/// `Event.summary: 5`, of values `Summary.value: 1 { tag: 1, simple_value: 2 }`.
fn summary(scalars: &[(String, f64)]) -> Vec<u8> {
    let value = |(tag, value): &(String, f64)| {
        let mut message = field(1, tag.as_bytes());
        message.push(0x15);
        message.extend((*value as f32).to_le_bytes());
        field(1, &message)
    };
    field(5, &scalars.iter().flat_map(value).collect::<Vec<_>>())
}

/// A field of bytes, text or an embedded message.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(bytes.len() as u64, &mut out);
    out.extend(bytes);
    out
}

/// Seven bits a byte, the lowest first, the top bit set where more follow.
fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Length, its checksum, content, its checksum.
fn record(content: &[u8], file: &mut Vec<u8>) {
    let length = (content.len() as u64).to_le_bytes();
    for part in [&length[..], content] {
        file.extend(part);
        file.extend(masked(crc32c(part)).to_le_bytes());
    }
}

/// Checksums of data that hold checksums are turned and shifted.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32 with Castagnoli's polynomial, bit by bit: the files are small.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::metrics::Scores;

    #[test]
    fn checksums_of_the_standard_s_examples() {
        // RFC 3720, B.4: 32 bytes of zeros, of ones, and rising; and the usual check value.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    /// A reader of its own: field number, then the bytes of the field; fixed and variable numbers as 8 bytes.
    fn fields(mut message: &[u8]) -> Vec<(u8, Vec<u8>)> {
        fn number(message: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..).step_by(7) {
                let byte = message[0];
                *message = &message[1..];
                value |= u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            value
        }
        let mut out = Vec::new();
        while !message.is_empty() {
            let key = number(&mut message);
            let bytes = match key & 7 {
                0 => number(&mut message).to_le_bytes().to_vec(),
                kind => {
                    let length =
                        [0, 8, if kind == 2 { number(&mut message) as usize } else { 0 }, 0, 0, 4][kind as usize];
                    let (bytes, rest) = message.split_at(length);
                    message = rest;
                    bytes.to_vec()
                }
            };
            out.push(((key >> 3) as u8, bytes));
        }
        out
    }

    /// Every scalar as (step, tag, value), with the checksums checked.
    fn read(mut file: &[u8]) -> Vec<(u64, String, f32)> {
        let mut out = Vec::new();
        while !file.is_empty() {
            let check = |bytes: &[u8], crc: &[u8]| {
                let crc = u32::from_le_bytes(crc.try_into().unwrap()).wrapping_sub(0xa282_ead8).rotate_left(15);
                assert_eq!(crc, crc32c(bytes));
            };
            let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
            check(&file[..8], &file[8..12]);
            let content = &file[12..12 + length];
            check(content, &file[12 + length..16 + length]);
            file = &file[16 + length..];
            let event = fields(content);
            let step = event.iter().find(|f| f.0 == 2).map_or(0, |f| u64::from_le_bytes(f.1[..].try_into().unwrap()));
            for (_, summary) in event.iter().filter(|f| f.0 == 5) {
                for (_, value) in fields(summary) {
                    let parts = fields(&value);
                    let tag = String::from_utf8(parts[0].1.clone()).unwrap();
                    out.push((step, tag, f32::from_le_bytes(parts[1].1[..].try_into().unwrap())));
                }
            }
        }
        out
    }

    #[test]
    fn every_number_of_the_log_is_read_back() {
        let values = [("loss", 0.5), ("accuracy", 0.75), ("macro_f1", 0.7), ("calibration_error", 0.1)];
        let scores = Scores {
            values: values.map(|(name, value)| (name.to_owned(), value)).into(),
            modality: BTreeMap::from([("heart".to_owned(), 0.25)]),
        };
        let entry = |epoch| EpochLog {
            epoch,
            lr: 0.125,
            train: BTreeMap::from([
                ("loss".to_owned(), Quantity::Number(1.5)),
                ("rho.heart".to_owned(), Quantity::List(vec![2., 3.])),
            ]),
            validation: scores.clone(),
        };
        // Steps above 127 take more than one byte.
        let log: Vec<EpochLog> = (0..200).map(entry).collect();
        let got = read(&events(&log, &vec![0.5; 200], 1e9));
        assert_eq!(got.len(), 200 * 9);
        let wanted = [
            ("lr", 0.125),
            ("train/loss", 1.5),
            ("train/rho.heart/0", 2.),
            ("train/rho.heart/1", 3.),
            ("validation/accuracy", 0.75),
            ("validation/calibration_error", 0.1),
            ("validation/loss", 0.5),
            ("validation/macro_f1", 0.7),
            ("validation/accuracy/heart", 0.25),
        ];
        for (i, (step, tag, value)) in got.iter().enumerate() {
            let want = wanted[i % 9];
            assert_eq!((*step, tag.as_str(), *value), (i as u64 / 9, want.0, want.1));
        }
    }
}
