//! What `torch.save` makes of a state dict: an archive of a pickle, which describes tensors, and their values beside
//! it. candle's machine reads the pickle; it knows no code and runs none. Each of its steps is looked at before it is
//! taken, so that a file that names code is refused, and none makes values that grow without bound.

use std::{
    collections::BTreeMap,
    io::{Cursor, Read},
    path::Path,
};

use aim_core::Result;
use candle_core::{
    DType, Device, Tensor,
    pickle::{Object, Stack},
};
use zip::{CompressionMethod, ZipArchive};

use crate::files::{broken, unfit};

/// Bytes of the largest pickle: those of large networks have some hundred thousand.
const LONGEST: u64 = 16 << 20;
/// Levels of values within values.
const DEEPEST: usize = 16;
/// About as many bytes may be repeated by references within the pickle.
const REPEATED: usize = 128 << 20;
/// What a pickle of a state dict may name beside `torch.*Storage`.
const CLASSES: [(&str, &str); 4] = [
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch", "Size"),
];
/// Where training scripts put the state dict, the likelier place first.
const PLACES: [&str; 4] = ["state_dict", "model_state_dict", "model", "module"];

/// What to do about files that hold more than weights.
const PLAIN: &str = "save the state dict alone, best as safetensors";

/// The float tensors of an archive, as f32.
pub(super) fn tensors(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    let damaged = |e: &dyn std::fmt::Display| broken(path, format!("is no whole archive of PyTorch ({e})"));
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| damaged(&e))?;
    let names: Vec<String> = archive
        .file_names()
        .map(|n| n.map(|n| n.into_owned()))
        .collect::<Result<_, _>>()
        .map_err(|e: zip::result::ZipError| damaged(&e))?;
    let pickles: Vec<&String> = names.iter().filter(|name| name.ends_with("/data.pkl")).collect();
    let [pickle] = pickles.as_slice() else {
        return Err(unfit(
            path,
            "is an archive without weights of PyTorch (data.pkl)",
            "name a file that torch.save wrote",
        ));
    };
    let mut program = vec![];
    let entry = archive.by_name(pickle).map_err(|e| damaged(&e))?;
    entry.take(LONGEST + 1).read_to_end(&mut program).map_err(|e| damaged(&e))?;
    let object = object(&program).map_err(|problem| unfit(path, problem, PLAIN))?;
    let state = state(&object).map_err(|problem| unfit(path, problem, PLAIN))?;
    let folder = pickle.strip_suffix(".pkl").unwrap_or(pickle);
    let (mut tensors, mut left) = (BTreeMap::new(), 2 * bytes.len());
    for (name, described) in state {
        let Some(kind) = described.kind() else { continue };
        let wrong = |problem: &str| unfit(path, format!("tensor `{name}` {problem}"), PLAIN);
        let wanted = described.bytes(kind).ok_or_else(|| wrong("is not stored in one piece"))?;
        left = left.checked_sub(wanted.len()).ok_or_else(|| wrong("and others share values that stand there once"))?;
        let entry = archive.by_name(&format!("{folder}/{}", described.key)).map_err(|e| damaged(&e))?;
        if entry.compression() != CompressionMethod::Stored || entry.size() < wanted.end as u64 {
            return Err(broken(path, format!("holds too few values of tensor `{name}`")));
        }
        let mut values = vec![];
        entry.take(wanted.end as u64).read_to_end(&mut values).map_err(|e| damaged(&e))?;
        let values = values.get(wanted).ok_or_else(|| wrong("ends too early"))?;
        let tensor = Tensor::from_raw_buffer(values, kind, &described.shape, &Device::Cpu)?.to_dtype(DType::F32)?;
        tensors.insert(name.clone(), tensor);
    }
    Ok(tensors)
}

/// The value that a pickle describes; an error is the problem in words.
fn object(program: &[u8]) -> Result<Object, String> {
    if program.len() as u64 > LONGEST {
        return Err(format!("has a pickle of more than {} MiB", LONGEST >> 20));
    }
    let damaged = |e: &dyn std::fmt::Display| {
        format!("has a pickle that is no state dict ({})", e.to_string().chars().take(100).collect::<String>())
    };
    let (mut stack, mut rest, mut repeated) = (Stack::empty(), program, 0);
    loop {
        let before = rest;
        repeated += admit(before, stack.stack())?;
        if repeated > REPEATED {
            return Err("has a pickle that repeats itself too often".into());
        }
        if stack.read(&mut rest).map_err(|e| damaged(&e))? {
            return stack.finalize().map_err(|e| damaged(&e));
        }
        match (before.first(), stack.stack().last()) {
            (Some(b'c'), Some(Object::Class { module_name, class_name })) => known(module_name, class_name)?,
            (Some(b'h' | b'j'), Some(top)) => repeated += weight(top),
            _ => {}
        }
    }
}

/// Looks at the step that comes next: the number of bytes that it copies within the machine, or why it is not taken.
fn admit(program: &[u8], stack: &[Object]) -> Result<usize, String> {
    let Some((op, operand)) = program.split_first() else { return Err("has a pickle that ends too early".into()) };
    let top = |n: usize| stack.len().checked_sub(n).and_then(|i| stack.get(i));
    let above_mark = || stack.iter().rev().take_while(|object| **object != Object::Mark).count();
    let wrapped = match op {
        b'Q' | b'a' | b'b' | 0x85 => 1,
        b'R' | b's' | 0x86 => 2,
        0x87 => 3,
        b't' | b'u' | b'e' => above_mark(),
        _ => 0,
    };
    if stack.iter().rev().take(wrapped).any(|object| depth(object) >= DEEPEST) {
        return Err(format!("has a pickle of more than {DEEPEST} levels"));
    }
    match op {
        b'R' if !matches!(top(2), Some(Object::Class { .. })) => Err("has a pickle that calls what is no class".into()),
        b'b' if !matches!(top(2), Some(Object::Dict(_))) => Err("has a pickle that fills objects of a class".into()),
        0x81 => Err("has a pickle that makes objects of a class".into()),
        b'X' => match operand.first_chunk::<4>().map(|length| u32::from_le_bytes(*length) as usize) {
            Some(length) if length <= operand.len() => Ok(0),
            _ => Err("has a pickle that ends too early".into()),
        },
        0x8a if operand.first().is_none_or(|length| *length > 8) => Err("has a pickle with a number of no size".into()),
        b'q' | b'r' => Ok(top(1).map_or(0, weight)),
        _ => Ok(0),
    }
}

/// Refuses whatever is no part of a state dict: in Python it would be looked up, and most often called.
fn known(module: &str, class: &str) -> Result<(), String> {
    let storage = module == "torch" && class.ends_with("Storage");
    if storage || CLASSES.contains(&(module, class)) {
        return Ok(());
    }
    let name: String = format!("{module}.{class}").chars().take(100).collect();
    Err(format!("has a pickle that names code, `{name}`, which is not run here"))
}

/// Levels below and with a value; those of entries of a dict were counted when they were put there.
fn depth(object: &Object) -> usize {
    let deepest = |all: &[Object]| all.iter().map(depth).max().unwrap_or(0);
    1 + match object {
        Object::Tuple(all) | Object::List(all) => deepest(all),
        Object::Dict(entries) => entries.iter().map(|(key, value)| depth(key).max(depth(value))).max().unwrap_or(0),
        Object::Reduce { callable, args } | Object::Build { callable, args } => depth(callable).max(depth(args)),
        Object::PersistentLoad(id) => depth(id),
        _ => 0,
    }
}

/// About the number of bytes of a value.
fn weight(object: &Object) -> usize {
    size_of::<Object>()
        + match object {
            Object::Unicode(text) => text.len(),
            Object::Class { module_name, class_name } => module_name.len() + class_name.len(),
            Object::Tuple(all) | Object::List(all) => all.iter().map(weight).sum(),
            Object::Dict(entries) => entries.iter().map(|(key, value)| weight(key) + weight(value)).sum(),
            Object::Reduce { callable, args } | Object::Build { callable, args } => weight(callable) + weight(args),
            Object::PersistentLoad(id) => weight(id),
            _ => 0,
        }
}

/// A tensor as a pickle describes it.
struct Described<'a> {
    /// Entry of the archive that holds its values.
    key: &'a str,
    storage: &'a str,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl<'a> Described<'a> {
    fn of(value: &'a Object) -> Option<Self> {
        let Object::Reduce { callable, args } = value else { return None };
        let (Object::Class { class_name, .. }, Object::Tuple(args)) = (&**callable, &**args) else { return None };
        match (class_name.as_str(), args.as_slice()) {
            ("_rebuild_parameter", [inner, ..]) => Self::of(inner),
            ("_rebuild_tensor_v2", [Object::PersistentLoad(id), offset, shape, strides, ..]) => {
                let Object::Tuple(id) = &**id else { return None };
                let [_, Object::Class { class_name, .. }, Object::Unicode(key), ..] = id.as_slice() else {
                    return None;
                };
                let (shape, strides) = (numbers(shape)?, numbers(strides)?);
                Some(Self { key, storage: class_name, offset: number(offset)?, shape, strides })
            }
            _ => None,
        }
    }

    /// The type of its values, if they are floats.
    fn kind(&self) -> Option<DType> {
        match self.storage {
            "FloatStorage" => Some(DType::F32),
            "DoubleStorage" => Some(DType::F64),
            "HalfStorage" => Some(DType::F16),
            "BFloat16Storage" => Some(DType::BF16),
            _ => None,
        }
    }

    /// The place of its values in their entry; none if they do not lie there one behind the other.
    fn bytes(&self, kind: DType) -> Option<std::ops::Range<usize>> {
        let mut count = 1_usize;
        for (length, stride) in self.shape.iter().zip(&self.strides).rev() {
            if *length > 1 && *stride != count {
                return None;
            }
            count = count.checked_mul(*length)?;
        }
        let size = kind.size_in_bytes();
        let start = self.offset.checked_mul(size)?;
        (self.shape.len() == self.strides.len()).then_some(())?;
        // A length of 0 hides from one side what is too large on the other; a tensor's shape is multiplied from both.
        self.shape.iter().try_fold(1_usize, |count, length| count.checked_mul(*length))?;
        Some(start..start.checked_add(count.checked_mul(size)?)?)
    }
}

fn number(object: &Object) -> Option<usize> {
    match object {
        Object::Int(number) => usize::try_from(*number).ok(),
        Object::Long(number) => usize::try_from(*number).ok(),
        _ => None,
    }
}

fn numbers(object: &Object) -> Option<Vec<usize>> {
    let Object::Tuple(all) = object else { return None };
    all.iter().map(number).collect()
}

/// The tensors of a dict, by name.
fn described(object: &Object) -> Vec<(&String, Described<'_>)> {
    let Object::Dict(entries) = object else { return vec![] };
    let named = entries.iter().filter_map(|(key, value)| match key {
        Object::Unicode(name) => Some((name, Described::of(value)?)),
        _ => None,
    });
    named.collect()
}

/// The state dict of what was saved: the one that a training script put into a dict, whatever tensors stand beside it,
/// or all of it.
fn state(object: &Object) -> Result<Vec<(&String, Described<'_>)>, String> {
    let Object::Dict(entries) = object else { return Err("is no state dict".into()) };
    let below = |place: &str| entries.iter().find(|(key, _)| matches!(key, Object::Unicode(name) if name == place));
    let places = PLACES.iter().filter_map(|place| Some(described(&below(place)?.1)));
    let found = places.chain(std::iter::once_with(|| described(object))).find(|all| !all.is_empty());
    found.ok_or_else(|| format!("holds no tensors, neither by themselves nor as {}", PLACES.join(", ")))
}
