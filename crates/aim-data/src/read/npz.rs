//! Arrays of a NumPy archive: numbers of any common type as f32, whole numbers, and texts.

use std::{fs::File, io, io::BufReader, io::Read, path::PathBuf};

use aim_core::{Error, Result};
use half::f16;
use npyz::{Deserialize, NpyFile, NpyHeader, Order};
use zip::{ZipArchive, result::ZipError};

use crate::{
    files::{broken, open},
    table::Array,
};

/// An open archive.
pub(crate) struct Npz {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
}

impl Npz {
    /// Opens the archive.
    pub fn open(path: PathBuf) -> Result<Self> {
        let archive = ZipArchive::new(open(&path)?);
        let archive = archive.map_err(|e| broken(&path, format!("is no complete npz archive ({e})")))?;
        Ok(Self { path, archive })
    }

    /// Names of the arrays.
    pub fn names(&self) -> Vec<String> {
        let own = |name: &str| name.strip_suffix(".npy").map(ToOwned::to_owned);
        self.archive.file_names().filter_map(|name| own(&name.ok()?)).collect()
    }

    /// Whether there is an array of that name.
    pub fn has(&self, name: &str) -> bool {
        self.names().iter().any(|have| have == name)
    }

    /// Shape of an array.
    pub fn shape(&mut self, name: &str) -> Result<Vec<usize>> {
        self.member(name).map(|(shape, _)| shape)
    }

    /// Entries of the array on its first axis.
    pub fn len(&mut self, name: &str) -> Result<usize> {
        let shape = self.member(name)?.0;
        shape.first().copied().ok_or_else(|| Error::shape(self.place(name), &shape, "[N, ...]"))
    }

    /// An array of shape `[len, shape ...]` as a modality of finite numbers.
    pub fn array(&mut self, name: &str, len: usize, shape: &[usize]) -> Result<Array> {
        self.numbers(name, len, shape)?.finite(&self.place(name))
    }

    /// The same, whose numbers may be anything.
    pub fn numbers(&mut self, name: &str, len: usize, shape: &[usize]) -> Result<Array> {
        let (header, bytes) = self.raw(name, &[&[len][..], shape].concat())?;
        let data = numbers(header, &bytes).map_err(|e| self.broken(name, e))?;
        Ok(Array { data, shape: shape.to_vec() })
    }

    /// An array as it is, the first axis counting samples.
    pub fn whole_array(&mut self, name: &str) -> Result<Array> {
        let (shape, _) = self.member(name)?;
        let Some((len, shape)) = shape.split_first() else {
            return Err(Error::shape(self.place(name), &shape, "[N, ...]"));
        };
        self.array(name, *len, shape)
    }

    /// A column of texts.
    pub fn texts(&mut self, name: &str, len: usize) -> Result<Vec<String>> {
        self.column(name, len)
    }

    /// A column of names: texts or whole numbers.
    pub fn names_of(&mut self, name: &str, len: usize) -> Result<Vec<String>> {
        match self.texts(name, len) {
            Ok(texts) => Ok(texts),
            Err(_) => Ok(self.whole(name, len)?.iter().map(ToString::to_string).collect()),
        }
    }

    /// A column of whole numbers of any type.
    pub fn whole(&mut self, name: &str, len: usize) -> Result<Vec<i64>> {
        let (header, bytes) = self.raw(name, &[len])?;
        wholes(header, &bytes).map_err(|e| self.broken(name, e))
    }

    /// A column of class indices below `classes`.
    pub fn labels(&mut self, name: &str, len: usize, classes: usize) -> Result<Vec<u32>> {
        let column = self.whole(name, len)?;
        let check = |(row, label): (usize, i64)| {
            let fits = usize::try_from(label).is_ok_and(|l| l < classes);
            let problem = || format!("label {label} of row {row} is out of range, labels must be below {classes}");
            fits.then_some(label as u32).ok_or_else(|| broken(&self.path, problem()))
        };
        column.into_iter().enumerate().map(check).collect()
    }

    fn column<T: Deserialize>(&mut self, name: &str, len: usize) -> Result<Vec<T>> {
        let (header, bytes) = self.raw(name, &[len])?;
        NpyFile::with_header(header, &bytes[..]).into_vec().map_err(|e| self.broken(name, e))
    }

    /// Header and whole content of an array, whose size and shape are as they should be.
    fn raw(&mut self, name: &str, want: &[usize]) -> Result<(NpyHeader, Vec<u8>)> {
        let (shape, file) = self.member(name)?;
        let header = file.header().clone();
        if shape != want {
            drop(file);
            return Err(Error::shape(self.place(name), &shape, format!("{want:?}")));
        }
        let mut bytes = Vec::new();
        // No further than a byte behind its end, however far what is packed may go.
        let most = promised(&header).map_or(0, |size| size as u64 + 1);
        let read = file.into_inner().take(most).read_to_end(&mut bytes);
        read.map_err(|e| self.broken(name, e))?;
        sized(&header, &bytes).map_err(|problem| self.broken(name, problem))?;
        Ok((header, bytes))
    }

    fn member(&mut self, name: &str) -> Result<(Vec<usize>, NpyFile<impl Read>)> {
        let mut entry = match self.archive.by_name(&format!("{name}.npy")) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => return Err(broken(&self.path, format!("has no array `{name}`"))),
            Err(e) => return Err(broken(&self.path, format!("array `{name}` cannot be read ({e})"))),
        };
        let cannot = |e| broken(&self.path, format!("array `{name}` cannot be read ({e})"));
        let head = head(&mut entry).map_err(cannot)?;
        let file = NpyFile::new(io::Cursor::new(head).chain(entry)).map_err(cannot)?;
        Ok((file.shape().iter().map(|d| *d as usize).collect(), file))
    }

    fn place(&self, name: &str) -> String {
        format!("{}: {name}", self.path.display())
    }

    fn broken(&self, name: &str, problem: impl ToString) -> Error {
        broken(&self.path, format!("array `{name}` cannot be read ({})", problem.to_string()))
    }
}

/// The array of a single `.npy` file, the first axis counting samples.
pub(crate) fn npy(path: &std::path::Path) -> Result<Array> {
    let wrong = |problem: String| broken(path, problem);
    let bytes = crate::files::bytes(path)?;
    let mut values = &bytes[..];
    let file = head(&mut values).and_then(|head| NpyFile::new(io::Cursor::new(head)));
    let file = file.map_err(|e| wrong(format!("is no NumPy array ({e})")))?;
    let header = file.header().clone();
    let dims: Vec<usize> = header.shape().iter().map(|d| *d as usize).collect();
    let Some((len, shape)) = dims.split_first() else {
        return Err(Error::shape(path.display().to_string(), &dims, "[N, ...]"));
    };
    sized(&header, values).map_err(|problem| wrong(format!("cannot be read ({problem})")))?;
    let data = numbers(header, values).map_err(|e| wrong(format!("cannot be read ({e})")))?;
    debug_assert_eq!(data.len(), len * shape.iter().product::<usize>());
    Array { data, shape: shape.to_vec() }.finite(&path.display().to_string())
}

/// Shape of the array of a single `.npy` file, of which only the header is read.
pub(crate) fn npy_shape(path: &std::path::Path) -> Result<Vec<usize>> {
    let file = head(&mut open(path)?).and_then(|head| NpyFile::new(io::Cursor::new(head)));
    let file = file.map_err(|e| broken(path, format!("is no NumPy array ({e})")))?;
    Ok(file.shape().iter().map(|d| *d as usize).collect())
}

/// Longest header, in bytes.
const LONGEST: usize = 1 << 16;
/// Most brackets within each other in a header; the time that the parser takes doubles with each.
const DEEPEST: usize = 6;

/// The bytes of a header, with which an array begins, if it can be parsed in bounded time and memory.
fn head(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = vec![0; 10];
    reader.read_exact(&mut head)?;
    if !head.starts_with(b"\x93NUMPY") {
        return Err(io::Error::other("it begins with other bytes"));
    }
    let mut length = usize::from(u16::from_le_bytes([head[8], head[9]]));
    // Later versions have longer headers.
    if head[6] > 1 {
        let mut more = [0; 2];
        reader.read_exact(&mut more)?;
        length += usize::from(u16::from_le_bytes(more)) << 16;
        head.extend(more);
    }
    let mut text = vec![];
    reader.take(length.min(LONGEST) as u64).read_to_end(&mut text)?;
    if text.len() < length || depth(&text) > DEEPEST {
        return Err(io::Error::other("its header is cut, or longer or deeper than that of any array"));
    }
    head.extend(text);
    Ok(head)
}

/// How many brackets lie within each other.
fn depth(text: &[u8]) -> usize {
    let step = |(now, most): (usize, usize), byte: &u8| match byte {
        b'(' | b'[' | b'{' => (now + 1, most.max(now + 1)),
        b')' | b']' | b'}' => (now.saturating_sub(1), most),
        _ => (now, most),
    };
    text.iter().fold((0, 0), step).1
}

/// Bytes of the values that a header promises; none where no memory has as many, even beside an axis of length 0.
fn promised(header: &NpyHeader) -> Option<usize> {
    let lengths: Vec<usize> = header.shape().iter().map(|d| usize::try_from(*d).ok()).collect::<Option<_>>()?;
    let size = header.dtype().num_bytes()?;
    lengths.iter().try_fold(size, |all, length| all.checked_mul((*length).max(1)))?;
    Some(size * lengths.iter().product::<usize>())
}

/// Refuses an array whose bytes are not those of its shape and type.
fn sized(header: &NpyHeader, bytes: &[u8]) -> Result<(), String> {
    match promised(header) {
        Some(size) if size == bytes.len() => Ok(()),
        Some(size) => Err(format!("it has {} bytes, but its shape and type need {size}", bytes.len())),
        None => Err("its shape and type ask for more bytes than a memory has".into()),
    }
}

/// Numbers of any type as f32, sample after sample whatever their order in the file.
fn numbers(header: NpyHeader, bytes: &[u8]) -> io::Result<Vec<f32>> {
    let (kind, order) = (header.dtype().descr(), header.order());
    let shape: Vec<usize> = header.shape().iter().map(|d| *d as usize).collect();
    let file = NpyFile::with_header(header, bytes);
    let data = match kind_of(&kind) {
        // The largest arrays by far: no detour over a reader of single values.
        "u1" => bytes.iter().map(|b| f32::from(*b)).collect(),
        "f2" => cast(file, |v: f16| Ok(v.to_f32()))?,
        "f4" => cast(file, |v: f32| Ok(v))?,
        "f8" => cast(file, |v: f64| Ok(v as f32))?,
        "b1" => cast(file, |v: bool| Ok(f32::from(u8::from(v))))?,
        _ => whole_values(&kind, file, exact)?,
    };
    Ok(if order == Order::Fortran && shape.len() > 1 { c_order(&data, &shape) } else { data })
}

/// Whole numbers of any type, floats that are whole among them.
fn wholes(header: NpyHeader, bytes: &[u8]) -> io::Result<Vec<i64>> {
    let kind = header.dtype().descr();
    let file = NpyFile::with_header(header, bytes);
    let whole = |v: f64| {
        let fits = v.fract() == 0. && v.abs() <= EXACT;
        if fits { Ok(v as i64) } else { Err(io::Error::other(format!("{v} is no whole number"))) }
    };
    match kind_of(&kind) {
        "f2" => cast(file, |v: f16| whole(v.to_f64())),
        "f4" => cast(file, |v: f32| whole(f64::from(v))),
        "f8" => cast(file, whole),
        "b1" => cast(file, |v: bool| Ok(i64::from(v))),
        _ => whole_values(&kind, file, Ok),
    }
}

/// Whole numbers up to here are exact as f64.
const EXACT: f64 = 9_007_199_254_740_992.;

/// Values of a type of whole numbers, each through `to`.
fn whole_values<T>(kind: &str, file: NpyFile<&[u8]>, to: impl Fn(i64) -> io::Result<T>) -> io::Result<Vec<T>> {
    match kind_of(kind) {
        "i1" => cast(file, |v: i8| to(v.into())),
        "u1" => cast(file, |v: u8| to(v.into())),
        "i2" => cast(file, |v: i16| to(v.into())),
        "u2" => cast(file, |v: u16| to(v.into())),
        "i4" => cast(file, |v: i32| to(v.into())),
        "u4" => cast(file, |v: u32| to(v.into())),
        "i8" => cast(file, to),
        "u8" => cast(file, |v: u64| to(i64::try_from(v).map_err(io::Error::other)?)),
        _ => Err(io::Error::other(format!("type {kind} is no type of real numbers"))),
    }
}

/// A whole number as f32, if that holds it.
fn exact(value: i64) -> io::Result<f32> {
    let problem =
        || io::Error::other(format!("{value} has more digits than are kept: scale the array, or store floats"));
    if value as f32 as i64 == value { Ok(value as f32) } else { Err(problem()) }
}

/// A type without its byte order: `'<f4'` is `f4`.
fn kind_of(descr: &str) -> &str {
    descr.trim_matches('\'').trim_start_matches(['<', '>', '|', '='])
}

/// Values that stand with their first axis side by side, in an order with the last side by side.
fn c_order(data: &[f32], shape: &[usize]) -> Vec<f32> {
    let mut strides = vec![1; shape.len()];
    (1..shape.len()).for_each(|axis| strides[axis] = strides[axis - 1] * shape[axis - 1]);
    let place = |mut at: usize| {
        let axes = shape.iter().zip(&strides).rev();
        axes.map(|(size, stride)| {
            let index = at % size;
            at /= size;
            index * stride
        })
        .sum::<usize>()
    };
    (0..data.len()).map(|at| data[place(at)]).collect()
}

fn cast<T: Deserialize, U>(file: NpyFile<&[u8]>, to: impl Fn(T) -> io::Result<U>) -> io::Result<Vec<U>> {
    // Of the right size at once: a vector that grows takes its memory twice.
    let mut out = Vec::with_capacity(file.shape().iter().product::<u64>() as usize);
    file.data::<T>().map_err(io::Error::other)?.try_for_each(|v| to(v?).map(|v| out.push(v)))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use npyz::{AutoSerialize, DType, WriteOptions, WriterBuilder};
    use std::io::Write;
    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    /// Stores an array in the archive, compressed.
    fn store(file: &mut ZipWriter<File>, name: &str, bytes: &[u8]) {
        file.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
        file.write_all(bytes).unwrap();
    }

    /// An array to write: name, shape, values and their order.
    fn put<T: AutoSerialize + Clone>(
        file: &mut ZipWriter<File>,
        name: &str,
        shape: &[u64],
        values: &[T],
        order: Order,
    ) {
        let mut bytes = vec![];
        let array = WriteOptions::new().default_dtype().order(order).shape(shape);
        let mut array = array.writer(&mut bytes).begin_nd().unwrap();
        array.extend(values.iter().cloned()).unwrap();
        array.finish().unwrap();
        store(file, name, &bytes);
    }

    /// An array of shape `[2, 1]` as these bytes.
    fn raw(file: &mut ZipWriter<File>, name: &str, descr: &str, data: &[u8]) {
        let head = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (2, 1), }}");
        let padded = format!("{head:<117}\n");
        let bytes = [b"\x93NUMPY\x01\x00", &(padded.len() as u16).to_le_bytes()[..], padded.as_bytes(), data].concat();
        store(file, name, &bytes);
    }

    /// An archive with what is read well and what is not.
    fn archive() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let mut file = ZipWriter::new(File::create(&path).unwrap());
        put(&mut file, "u1", &[2, 2], &[0u8, 1, 2, 255], Order::C);
        put(&mut file, "i2", &[2, 1], &[-3i16, 300], Order::C);
        put(&mut file, "f4", &[2, 1], &[0.5f32, -1.], Order::C);
        put(&mut file, "f8", &[2, 1], &[0.25f64, 1e3], Order::C);
        put(&mut file, "y", &[3], &[0i64, 2, 1], Order::C);
        put(&mut file, "w1", &[3], &[0u8, 2, 1], Order::C);
        put(&mut file, "w2", &[3], &[0u16, 2, 1], Order::C);
        put(&mut file, "w4", &[3], &[0i32, 2, 1], Order::C);
        put(&mut file, "w8", &[3], &[0u64, 2, 1], Order::C);
        put(&mut file, "wf", &[3], &[0f32, 2., 1.], Order::C);
        put(&mut file, "wd", &[3], &[0f64, 2., 1.], Order::C);
        put(&mut file, "halves", &[2], &[0.5f64, 1.], Order::C);
        put(&mut file, "negative", &[2], &[0i64, -1], Order::C);
        put(&mut file, "nan", &[2, 1], &[1f32, f32::NAN], Order::C);
        put(&mut file, "columns", &[2, 2], &[1f32, 2., 3., 4.], Order::Fortran);
        put(&mut file, "u8", &[2, 1], &[1u64, 2], Order::C);
        put(&mut file, "none", &[], &[1f32], Order::C);
        put(&mut file, "large", &[1, 1], &[(1i64 << 24) + 1], Order::C);
        // Columns of [2, 3, 2], the first axis side by side.
        let columns: Vec<f32> = [0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11].map(|v| v as f32).into();
        put(&mut file, "deep", &[2, 3, 2], &columns, Order::Fortran);
        // Big-endian: 1.5 and -2 as f4, 258 and -1 as i2.
        raw(&mut file, "big4", "'>f4'", &[0x3f, 0xc0, 0, 0, 0xc0, 0, 0, 0]);
        raw(&mut file, "big2", "'>i2'", &[1, 2, 0xff, 0xff]);
        raw(&mut file, "short", "'<f4'", &[0; 4]);
        raw(&mut file, "complex", "'<c8'", &[0; 16]);
        let mut bytes = vec![];
        let words = WriteOptions::<str>::new().dtype(DType::new_scalar("<U3".parse().unwrap())).shape(&[2]);
        let mut words = words.writer(&mut bytes).begin_nd().unwrap();
        ["ab", "now"].iter().for_each(|word| words.push(word).unwrap());
        words.finish().unwrap();
        store(&mut file, "words", &bytes);
        file.finish().unwrap();
        (folder, path)
    }

    #[test]
    fn reads_every_type_of_number_labels_and_texts() {
        let (_folder, path) = archive();
        let mut file = Npz::open(path).unwrap();
        assert_eq!(file.array("u1", 2, &[2]).unwrap().data, [0., 1., 2., 255.]);
        assert_eq!(file.array("i2", 2, &[1]).unwrap().data, [-3., 300.]);
        assert_eq!(file.array("f4", 2, &[1]).unwrap().data, [0.5, -1.]);
        assert_eq!(file.array("f8", 2, &[1]).unwrap().data, [0.25, 1000.]);
        assert_eq!(file.len("y").unwrap(), 3);
        assert_eq!(file.labels("y", 3, 3).unwrap(), [0, 2, 1]);
        assert_eq!(file.whole("negative", 2).unwrap(), [0, -1]);
        assert_eq!(file.array("columns", 2, &[2]).unwrap().data, [1., 3., 2., 4.]);
        assert_eq!(file.array("deep", 2, &[3, 2]).unwrap().data, (0..12).map(|v| v as f32).collect::<Vec<_>>());
        assert_eq!(file.array("u8", 2, &[1]).unwrap().data, [1., 2.]);
        assert_eq!(file.array("big4", 2, &[1]).unwrap().data, [1.5, -2.]);
        assert_eq!(file.array("big2", 2, &[1]).unwrap().data, [258., -1.]);
        for name in ["w1", "w2", "w4", "w8", "wf", "wd"] {
            assert_eq!(file.labels(name, 3, 3).unwrap(), [0, 2, 1], "{name}");
        }
        assert_eq!(file.texts("words", 2).unwrap(), ["ab", "now"]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let (_folder, path) = archive();
        let mut file = Npz::open(path).unwrap();
        let mut told = |read: &dyn Fn(&mut Npz) -> Option<Error>, message: &str| {
            let error = read(&mut file).map_or("none".into(), |e| e.to_string());
            assert!(error.contains("a.npz") && error.contains(message), "{error}\nshould contain\n{message}");
        };
        told(&|f| f.len("z").err(), "has no array `z`");
        told(&|f| f.len("none").err(), "none` has shape [], but [N, ...] is needed");
        told(&|f| f.array("f4", 3, &[1]).err(), "f4` has shape [2, 1], but [3, 1] is needed");
        told(&|f| f.array("nan", 2, &[1]).err(), "is not finite");
        told(&|f| f.array("short", 2, &[1]).err(), "it has 4 bytes, but its shape and type need 8");
        told(&|f| f.array("complex", 2, &[1]).err(), "array `complex` cannot be read");
        told(&|f| f.array("large", 1, &[1]).err(), "16777217 has more digits than are kept");
        told(&|f| f.labels("f4", 2, 2).err(), "f4` has shape [2, 1], but [2] is needed");
        told(&|f| f.whole("halves", 2).err(), "0.5 is no whole number");
        told(&|f| f.labels("y", 3, 2).err(), "label 2 of row 1 is out of range, labels must be below 2");
        told(&|f| f.labels("negative", 2, 2).err(), "label -1 of row 1 is out of range");
        told(&|f| f.texts("y", 3).err(), "array `y` cannot be read");
        told(&|f| f.whole("words", 2).err(), "array `words` cannot be read");
    }

    #[test]
    fn more_values_than_a_memory_has_and_brackets_without_end_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = |header: &str| {
            let length = (header.len() as u16).to_le_bytes();
            std::fs::write(file.path(), [b"\x93NUMPY\x01\0", &length[..], header.as_bytes()].concat()).unwrap();
            npy(file.path()).err().map_or("none".into(), |e| e.to_string())
        };
        // Products that a number of 64 bits has as 0, which is how many values follow.
        for shape in ["(2, 0, 9223372036854775808, 2)", "(4611686018427387904, 4)"] {
            let told = error(&format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n"));
            assert!(told.contains("ask for more bytes than a memory has"), "{told}");
        }
        // A parser that tries each bracket as a mapping and as a set would not end.
        let told = error(&"{".repeat(100));
        assert!(told.contains("longer or deeper than that of any array"), "{told}");
    }

    #[test]
    fn files_that_are_missing_cut_or_changed_are_told_apart() {
        let (folder, path) = archive();
        let error = |path: PathBuf| Npz::open(path).err().map_or("none".into(), |e| e.to_string());
        let missing = error(folder.path().join("b.npz"));
        assert!(missing.contains("b.npz: does not exist"), "{missing}");
        let whole = std::fs::read(&path).unwrap();
        for content in [&whole[..whole.len() / 2], b"no archive".as_slice()] {
            std::fs::write(&path, content).unwrap();
            let cut = error(path.clone());
            assert!(
                cut.contains("is no complete npz archive") && cut.contains("fetch or write the file again"),
                "{cut}"
            );
        }
        // Somewhere inside the first array, behind the archive's own header of it.
        let mut changed = whole;
        changed[60] ^= 0xff;
        std::fs::write(&path, changed).unwrap();
        let changed = Npz::open(path).unwrap().array("u1", 2, &[2]).unwrap_err().to_string();
        assert!(changed.contains("array `u1` cannot be read"), "{changed}");
    }
}
