//! Runs the kernels on the CPU: compiled by a C++ compiler, with `emulator.cpp` around them.

use std::{
    ffi::c_int,
    process::Command,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use candle_core::{CpuStorage, DType, Result, bail};
use libloading::{Library, Symbol};

use super::{
    SOURCE,
    launch::{Grid, Word},
};

/// Threads of a block, as in `emulator.cpp`.
pub(super) const THREADS: usize = 64;

/// Whether the threads of a block run in descending order.
pub(super) static DESCENDING: AtomicBool = AtomicBool::new(false);

#[repr(C)]
struct TaggedWord {
    /// 0 for what is passed in 64 bits, 1 for a float, 2 for the address of a structure.
    kind: i64,
    bits: u64,
}

/// The names of all kernels.
pub(super) fn kernels() -> Vec<&'static str> {
    SOURCE.split("\nKERNEL ").skip(1).filter_map(|rest| rest.split('(').next()).collect()
}

/// The kernels and a function that calls one by its number, compiled; `None` without a compiler.
fn library() -> Option<&'static Library> {
    static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
    LIBRARY.get_or_init(compile).as_ref()
}

fn compile() -> Option<Library> {
    // Miri starts no compiler.
    if cfg!(miri) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let (source, built) = (folder.path().join("kernels.cpp"), folder.path().join("kernels.so"));
    let case = |(i, name)| format!("    if (kernel == {i}) return start({name}, blocks, words, count, descending);\n");
    let cases: String = kernels().into_iter().enumerate().map(case).collect();
    let call =
        "extern \"C\" int call(int kernel, long long blocks, const Word* words, long long count, int descending) {\n";
    let text = [include_str!("emulator.cpp"), SOURCE, call, &cases, "    return 1;\n}\n"].concat();
    std::fs::write(&source, text).unwrap();
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let run =
        Command::new(&compiler).args(["-std=c++17", "-O1", "-shared", "-fPIC", "-o"]).arg(&built).arg(&source).output();
    let Ok(run) = run else { return None };
    assert!(run.status.success(), "the kernels do not compile:\n{}", String::from_utf8_lossy(&run.stderr));
    // SAFETY: the library has no initialisers of its own.
    Some(unsafe { Library::new(&built) }.unwrap())
}

/// Whether there is a C++ compiler; says so where there is none.
pub(super) fn available() -> bool {
    if library().is_none() {
        eprintln!("skipped: no C++ compiler to run the CUDA kernels with");
    }
    library().is_some()
}

/// Memory for `n` elements, which must not be read before a kernel wrote them.
pub(super) fn memory(n: usize, dtype: DType) -> Result<CpuStorage> {
    match dtype {
        DType::F32 => Ok(CpuStorage::F32(vec![f32::NAN; n])),
        DType::U32 => Ok(CpuStorage::U32(vec![u32::MAX; n])),
        dtype => bail!("no kernels for {dtype:?}"),
    }
}

/// The address of element `from`.
pub(super) fn pointer(storage: &CpuStorage, from: usize) -> Result<Word<'static>> {
    match storage {
        CpuStorage::F32(data) => Ok(Word::Long(data[from..].as_ptr().expose_provenance() as u64)),
        CpuStorage::U32(data) => Ok(Word::Long(data[from..].as_ptr().expose_provenance() as u64)),
        _ => bail!("no kernels for this dtype"),
    }
}

pub(super) fn launch(kernel: &str, grid: Grid, words: &[Word<'_>]) -> Result<()> {
    static TURN: Mutex<()> = Mutex::new(());
    let Some(library) = library() else { bail!("no C++ compiler to run the CUDA kernels with") };
    let number = kernels().iter().position(|k| *k == kernel);
    let Some(number) = number else { bail!("there is no kernel {kernel}") };
    let words: Vec<TaggedWord> = words
        .iter()
        .map(|word| match *word {
            Word::Long(bits) => TaggedWord { kind: 0, bits },
            Word::Float(v) => TaggedWord { kind: 1, bits: v.to_bits().into() },
            Word::Many(many) => TaggedWord { kind: 2, bits: std::ptr::from_ref(many).expose_provenance() as u64 },
        })
        .collect();
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the signature is that of `compile`; the words point to memory that lives on, of the lengths that they
    // say.
    let outcome = unsafe {
        type Call = unsafe extern "C" fn(c_int, i64, *const TaggedWord, i64, c_int) -> c_int;
        let call: Symbol<'_, Call> = library.get(b"call").unwrap();
        let descending = DESCENDING.load(Ordering::Relaxed).into();
        call(number as c_int, grid.blocks(THREADS) as i64, words.as_ptr(), words.len() as i64, descending)
    };
    match outcome {
        0 => Ok(()),
        2 => bail!("{kernel}: the arguments are not the kernel's parameters"),
        outcome => bail!("{kernel}: the emulator ended with {outcome}"),
    }
}
