//! Stands in front of the C library (LD_PRELOAD): `fsync` and `fdatasync` fail with EIO while the file that
//! `SYNC_FAULT` names exists, and do not return while the one that `SYNC_HOLD` names does. Compiled by the tests that use it,
//! not part of any crate.
#![crate_type = "cdylib"]

use std::ffi::{CStr, c_char, c_int, c_long, c_uint};

unsafe extern "C" {
    fn getenv(name: *const c_char) -> *const c_char;
    fn access(path: *const c_char, mode: c_int) -> c_int;
    fn usleep(microseconds: c_uint) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
    fn __errno_location() -> *mut c_int;
}

const EIO: c_int = 5;
#[cfg(target_arch = "x86_64")]
const NUMBERS: (c_long, c_long) = (74, 75);
#[cfg(not(target_arch = "x86_64"))]
const NUMBERS: (c_long, c_long) = (82, 83);

const FAULT: &CStr = c"SYNC_FAULT";
const HOLD: &CStr = c"SYNC_HOLD";

/// Does the file exist that this variable names?
fn is_on(name: &CStr) -> bool {
    // SAFETY: both calls take a C string that lives as long as the process.
    unsafe {
        let path = getenv(name.as_ptr());
        !path.is_null() && access(path, 0) == 0
    }
}

fn sync(number: c_long, fd: c_int) -> c_int {
    // SAFETY: errno is the thread's own; the system calls take numbers and return one.
    unsafe {
        while is_on(HOLD) {
            usleep(1_000);
        }
        if is_on(FAULT) {
            *__errno_location() = EIO;
            return -1;
        }
        syscall(number, fd) as c_int
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn fsync(fd: c_int) -> c_int {
    sync(NUMBERS.0, fd)
}

#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync(NUMBERS.1, fd)
}
