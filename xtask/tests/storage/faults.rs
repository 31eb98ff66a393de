//! A library that is loaded before a program's own (`LD_PRELOAD`) and makes its storage fail: below one folder calls of
//! the file system end at random in errors, short reads and writes, interruptions.
//!
//! `AIM_FAULTY` is the folder, `AIM_FAULTS` is `seed,calls`: one of so many calls fails. By the seed, too, the storage
//! is one without locks or one that cannot sync.
#![allow(clippy::missing_safety_doc, reason = "each function has the contract of the C library's")]

use std::{
    ffi::{CStr, c_char, c_int, c_uint, c_void},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

const EINTR: c_int = 4;
const EIO: c_int = 5;
const EINVAL: c_int = 22;
const ENOSPC: c_int = 28;
const ENOLCK: c_int = 37;
const ENOSYS: c_int = 38;
const EOPNOTSUPP: c_int = 95;
const NEXT: *mut c_void = -1_isize as *mut c_void;

unsafe extern "C" {
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn getenv(name: *const c_char) -> *const c_char;
    fn __errno_location() -> *mut c_int;
}

struct Faults {
    folder: &'static [u8],
    seed: u64,
    /// One of so many calls fails.
    calls: u64,
}

fn setting(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: the environment is not changed while the program runs.
    let value = unsafe { getenv(name.as_ptr()) };
    // SAFETY: as above; what `getenv` gives ends with a zero.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) })
}

fn faults() -> Option<&'static Faults> {
    static FAULTS: OnceLock<Option<Faults>> = OnceLock::new();
    let read = || {
        let (seed, calls) = setting(c"AIM_FAULTS")?.to_str().ok()?.split_once(',')?;
        let folder = setting(c"AIM_FAULTY")?.to_bytes();
        Some(Faults { folder, seed: seed.parse().ok()?, calls: calls.parse().ok()? })
    };
    FAULTS.get_or_init(read).as_ref()
}

/// SplitMix64 of the seed and the number of the call.
fn draw(seed: u64, call: u64) -> u64 {
    let mut z = seed.wrapping_mul(0xD129_0DDD_41D1_9B13).wrapping_add(call.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// One of the kinds, if this call is one that fails.
fn fault(kinds: &[c_int]) -> Option<c_int> {
    static CALL: AtomicU64 = AtomicU64::new(0);
    let faults = faults()?;
    let z = draw(faults.seed, CALL.fetch_add(1, Relaxed));
    (z.is_multiple_of(faults.calls)).then(|| kinds[(z >> 32) as usize % kinds.len()])
}

fn failed(errno: c_int) -> c_int {
    // SAFETY: the C library keeps a number of the error for each thread.
    unsafe { *__errno_location() = errno };
    -1
}

/// The descriptors of files below the folder.
static FILES: [AtomicBool; 4096] = [const { AtomicBool::new(false) }; 4096];

fn ours(file: c_int) -> bool {
    usize::try_from(file).ok().and_then(|at| FILES.get(at)).is_some_and(|known| known.load(Relaxed))
}

fn below(path: *const c_char) -> bool {
    // SAFETY: a path that a program gives to the C library ends with a zero.
    faults().is_some_and(|f| unsafe { CStr::from_ptr(path) }.to_bytes().starts_with(f.folder))
}

fn opened(file: c_int, path: *const c_char) -> c_int {
    if let Some(known) = usize::try_from(file).ok().and_then(|at| FILES.get(at)) {
        known.store(below(path), Relaxed);
    }
    file
}

/// The function of this name in the libraries behind this one, which must have this type.
macro_rules! next {
    ($name:literal as fn($($arg:ty),*) -> $result:ty) => {{
        static FOUND: OnceLock<usize> = OnceLock::new();
        let at = *FOUND.get_or_init(|| dlsym(NEXT, $name.as_ptr()) as usize);
        std::mem::transmute::<usize, unsafe extern "C" fn($($arg),*) -> $result>(at)
    }};
}

/// Without interruptions: programs rightly do not expect them of regular files here.
const OPENING: &[c_int] = &[EIO, ENOSPC];

#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    if below(path)
        && let Some(errno) = fault(OPENING)
    {
        return failed(errno);
    }
    // SAFETY: the caller's arguments, handed on.
    opened(unsafe { next!(c"open64" as fn(*const c_char, c_int, c_uint) -> c_int)(path, flags, mode) }, path)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(file: c_int) -> c_int {
    if let Some(known) = usize::try_from(file).ok().and_then(|at| FILES.get(at)) {
        known.store(false, Relaxed);
    }
    // SAFETY: the caller's argument, handed on.
    unsafe { next!(c"close" as fn(c_int) -> c_int)(file) }
}

/// Reading and writing: some fail, some do a part of what they were asked for.
macro_rules! transfer {
    ($($name:ident($label:literal, $bytes:ty, $kinds:expr);)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(file: c_int, bytes: $bytes, mut n: usize) -> isize {
            if ours(file) {
                match fault($kinds) {
                    Some(0) => n = n.div_ceil(2),
                    Some(errno) => return failed(errno) as isize,
                    None => {}
                }
            }
            // SAFETY: the caller's arguments, handed on; a smaller number of bytes is within them.
            unsafe { next!($label as fn(c_int, $bytes, usize) -> isize)(file, bytes, n) }
        }
    )*};
}

transfer! {
    read(c"read", *mut c_void, &[0, 0, EINTR, EINTR, EIO]);
    write(c"write", *const c_void, &[0, 0, EINTR, EINTR, EIO, ENOSPC]);
}

macro_rules! sync {
    ($($name:ident($label:literal);)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(file: c_int) -> c_int {
            if ours(file) {
                if faults().is_some_and(|f| f.seed.is_multiple_of(3)) {
                    return failed(EINVAL);
                }
                if let Some(errno) = fault(&[EIO, EINTR]) {
                    return failed(errno);
                }
            }
            // SAFETY: the caller's argument, handed on.
            unsafe { next!($label as fn(c_int) -> c_int)(file) }
        }
    )*};
}

sync! {
    fsync(c"fsync");
    fdatasync(c"fdatasync");
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn flock(file: c_int, operation: c_int) -> c_int {
    if ours(file)
        && let Some(faults) = faults()
        && faults.seed % 4 < 3
    {
        return failed([ENOLCK, ENOSYS, EOPNOTSUPP][(faults.seed % 4) as usize]);
    }
    // SAFETY: the caller's arguments, handed on.
    unsafe { next!(c"flock" as fn(c_int, c_int) -> c_int)(file, operation) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(file: c_int, length: i64) -> c_int {
    if ours(file)
        && let Some(errno) = fault(&[EIO])
    {
        return failed(errno);
    }
    // SAFETY: the caller's arguments, handed on.
    unsafe { next!(c"ftruncate64" as fn(c_int, i64) -> c_int)(file, length) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    if below(to)
        && let Some(errno) = fault(OPENING)
    {
        return failed(errno);
    }
    // SAFETY: the caller's arguments, handed on.
    unsafe { next!(c"rename" as fn(*const c_char, *const c_char) -> c_int)(from, to) }
}

macro_rules! on_path {
    ($($name:ident($label:literal $(, $mode:ident)?);)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(path: *const c_char $(, $mode: c_uint)?) -> c_int {
            if below(path)
                && let Some(errno) = fault(&[EIO])
            {
                return failed(errno);
            }
            // SAFETY: the caller's arguments, handed on.
            unsafe { next!($label as fn(*const c_char $(, with!($mode))?) -> c_int)(path $(, $mode)?) }
        }
    )*};
}

macro_rules! with {
    ($mode:ident) => {
        c_uint
    };
}

on_path! {
    mkdir(c"mkdir", mode);
    unlink(c"unlink");
}
