//! Files of both formats, whole and not.

use std::{fs, io::Write};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::*;

/// A tensor's name, storage, key, offset, shape and strides.
type Row<'a> = (&'a str, &'a str, &'a str, u8, &'a [u8], &'a [u8]);

/// A pickle of a state dict, opcode by opcode, as `torch.save` writes it.
fn program(tensors: &[Row<'_>]) -> Vec<u8> {
    [b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(", &*entries(tensors), b"u."].concat()
}

/// Tensors with their names, as they stand within a pickled dict.
fn entries(tensors: &[Row<'_>]) -> Vec<u8> {
    let mut out = vec![];
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(b'X');
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text.as_bytes());
    };
    let tuple = |out: &mut Vec<u8>, numbers: &[u8]| {
        out.push(b'(');
        numbers.iter().for_each(|number| out.extend([b'K', *number]));
        out.push(b't');
    };
    for (name, storage, key, offset, shape, strides) in tensors {
        text(&mut out, name);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        out.extend(format!("ctorch\n{storage}\n").as_bytes());
        text(&mut out, key);
        text(&mut out, "cpu");
        out.extend([b'K', 6, b't', b'Q', b'K', *offset]);
        tuple(&mut out, shape);
        tuple(&mut out, strides);
        out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    out
}

fn archive(program: &[u8], entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = ZipWriter::new(std::io::Cursor::new(vec![]));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut put = |name: String, content: &[u8]| {
        file.start_file(name, options).unwrap();
        file.write_all(content).unwrap();
    };
    put("net/data.pkl".into(), program);
    entries.iter().for_each(|(key, content)| put(format!("net/data/{key}"), content));
    file.finish().unwrap().into_inner()
}

fn read(bytes: &[u8]) -> Result<Checkpoint, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.pth");
    fs::write(&path, bytes).unwrap();
    let read = Checkpoint::read(&path).map_err(|e| e.to_string());
    if let Err(error) = &read {
        assert!(error.contains("net.pth"), "{error}");
    }
    read
}

fn values(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn of(checkpoint: &Checkpoint, name: &str) -> (Vec<usize>, Vec<f32>) {
    let tensor = &checkpoint.tensors[name];
    (tensor.dims().to_vec(), tensor.flatten_all().unwrap().to_vec1().unwrap())
}

#[test]
fn a_state_dict_of_pytorch_is_read() {
    let program = program(&[
        ("a.weight", "FloatStorage", "0", 0, &[2, 2], &[2, 1]),
        ("a.bias", "FloatStorage", "0", 4, &[2], &[1]),
        ("half", "HalfStorage", "1", 0, &[1], &[1]),
        ("counter", "LongStorage", "2", 0, &[], &[]),
    ]);
    let entries =
        [("0", &*values(&[1., 2., 3., 4., 5., 6.])), ("1", &half::f16::from_f32(0.5).to_le_bytes()), ("2", &[7; 8])];
    let bytes = archive(&program, &entries);
    let checkpoint = read(&bytes).unwrap();
    assert_eq!(checkpoint.tensors.keys().collect::<Vec<_>>(), ["a.bias", "a.weight", "half"]);
    assert_eq!(of(&checkpoint, "a.weight"), (vec![2, 2], vec![1., 2., 3., 4.]));
    assert_eq!(of(&checkpoint, "a.bias"), (vec![2], vec![5., 6.]));
    assert_eq!(of(&checkpoint, "half"), (vec![1], vec![0.5]));
    assert_eq!(checkpoint.crc32, crc32fast::hash(&bytes));
}

#[test]
fn a_state_dict_within_what_a_script_saved_is_found() {
    let plain = program(&[("w", "FloatStorage", "0", 0, &[1], &[1])]);
    let stray = entries(&[("loss", "FloatStorage", "1", 0, &[], &[])]);
    for beside in [&b"X\x05\0\0\0epochK\x07"[..], &stray] {
        let nested = [b"\x80\x02}(", beside, b"X\x05\0\0\0model", &plain[2..plain.len() - 1], b"u."].concat();
        let checkpoint = read(&archive(&nested, &[("0", &values(&[3.])), ("1", &values(&[9.]))])).unwrap();
        assert_eq!((of(&checkpoint, "w"), checkpoint.tensors.len()), ((vec![1], vec![3.]), 1));
    }
    let error = read(&archive(b"\x80\x02}(X\x05\0\0\0epochK\x07u.", &[])).unwrap_err();
    assert!(error.contains("holds no tensors") && error.contains("save the state dict alone"), "{error}");
}

#[test]
fn code_in_a_pickle_is_refused_by_name() {
    let system = b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R.";
    let error = read(&archive(system, &[])).unwrap_err();
    assert!(error.contains("names code, `posix.system`, which is not run here"), "{error}");
    for (program, problem) in [
        (&b"\x80\x02ccollections\nOrderedDict\n)\x81."[..], "makes objects of a class"),
        (b"\x80\x02K\x01K\x02R.", "calls what is no class"),
        (b"\x80\x02ccollections\nOrderedDict\n}b.", "fills objects of a class"),
        (b"\x80\x02X\xff\xff\xff\xffa", "ends too early"),
        (b"\x80\x02\x8a\x09aaaaaaaaa.", "a number of no size"),
        (b"\x80\x02K\x01", "ends too early"),
        (b"\x80\x02i.", "no state dict (unknown op-code"),
    ] {
        let error = read(&archive(program, &[])).unwrap_err();
        assert!(error.contains(problem) && error.contains("save the state dict alone"), "{error}");
    }
}

#[test]
fn a_pickle_that_grows_without_bound_is_refused() {
    // Each round makes a pair of what the last one made.
    let bomb = [b"\x80\x02K\x01".to_vec(), b"q\x00h\x00\x86".repeat(60), b".".to_vec()].concat();
    let error = read(&archive(&bomb, &[])).unwrap_err();
    assert!(error.contains("more than 16 levels"), "{error}");
    let deep = [b"\x80\x02)".to_vec(), b"\x85".repeat(1_000_000), b".".to_vec()].concat();
    assert!(read(&archive(&deep, &[])).unwrap_err().contains("more than 16 levels"));
    let nested = [b"\x80\x02}X\x01\0\0\0a".repeat(10_000), b"}".to_vec(), b"s".repeat(10_000), b".".to_vec()].concat();
    assert!(read(&archive(&nested, &[])).unwrap_err().contains("more than 16 levels"));
    let wide = [b"\x80\x02X\0\0\x10\0".to_vec(), vec![b'a'; 1 << 20], b"q\x00".repeat(200), b".".to_vec()].concat();
    let error = read(&archive(&wide, &[])).unwrap_err();
    assert!(error.contains("repeats itself too often"), "{error}");
}

#[test]
fn tensors_that_are_not_there_or_not_whole_are_named() {
    let one = |offset, shape: &[u8], strides: &[u8]| {
        let program = program(&[("w", "FloatStorage", "0", offset, shape, strides)]);
        read(&archive(&program, &[("0", &values(&[1., 2., 3., 4.]))])).unwrap_err()
    };
    assert!(one(0, &[5], &[1]).contains("too few values of tensor `w`"));
    assert!(one(2, &[3], &[1]).contains("too few values of tensor `w`"));
    assert!(one(0, &[2, 2], &[1, 2]).contains("tensor `w` is not stored in one piece"));
    assert!(one(0, &[255; 9], &[1]).contains("tensor `w` is not stored in one piece"));
    let (mut shape, mut strides) = ([255; 10], [0; 10]);
    (shape[9], strides[9]) = (0, 1);
    assert!(one(0, &shape, &strides).contains("tensor `w` is not stored in one piece"));
    let program = program(&[("w", "FloatStorage", "3", 0, &[1], &[1])]);
    assert!(read(&archive(&program, &[])).unwrap_err().contains("is no whole archive"));
    let many: Vec<String> = (0..200).map(|i| i.to_string()).collect();
    let many: Vec<_> =
        many.iter().map(|name| (name.as_str(), "FloatStorage", "0", 0, &[255, 255][..], &[255, 1][..])).collect();
    let error = read(&archive(&super::tests::program(&many), &[("0", &vec![0; 4 * 255 * 255])])).unwrap_err();
    assert!(error.contains("share values"), "{error}");
}

#[test]
fn safetensors_are_read_without_counters() {
    let tensor = |kind: &str, shape: &str, from: usize, to: usize| {
        format!("{{\"dtype\":\"{kind}\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}")
    };
    let header = format!("{{\"w\":{},\"n\":{}}}", tensor("F32", "[2]", 0, 8), tensor("I64", "[1]", 8, 16));
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &values(&[1., 2.]), &[0; 8]].concat();
    let checkpoint = read(&file).unwrap();
    assert_eq!((of(&checkpoint, "w"), checkpoint.tensors.len()), ((vec![2], vec![1., 2.]), 1));
    // Lengths whose low bytes are those that a pickle and an archive begin with.
    for length in [384_usize, usize::from(u16::from_le_bytes(*b"PK"))] {
        let padded = format!("{header:length$}");
        let file = [&(length as u64).to_le_bytes(), padded.as_bytes(), &values(&[1., 2.]), &[0; 8]].concat();
        assert_eq!(of(&read(&file).unwrap(), "w"), (vec![2], vec![1., 2.]));
    }
    let cut = read(&file[..file.len() - 1]).unwrap_err();
    assert!(cut.contains("is no complete safetensors file"), "{cut}");
    let mut wild = file.clone();
    wild[8 + header.len()..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(read(&wild).unwrap_err().contains("`w` is not finite"));
    let old = read(b"\x80\x02\x8a\x0al\xfc").unwrap_err();
    assert!(old.contains("is a bare pickle"), "{old}");
}

#[test]
fn a_file_is_below_the_folder_of_the_data() {
    let file = WeightsFile { file: Path::new("a/x.pth"), hub: None, revision: None };
    assert_eq!(file.locate(Some(Path::new("/data"))).unwrap(), Path::new("/data/a/x.pth"));
    let revised = WeightsFile { revision: Some("v1"), ..file };
    assert!(revised.check().unwrap_err().to_string().starts_with("revision: is that of no repository"));
}
