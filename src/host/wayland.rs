//! Silence of a library that complains to standard error.

use std::ffi::{c_char, c_void};
use std::sync::Once;

/// Mesa's layer that orders adapters asks the Wayland compositor for its device, and without a compositor libwayland prints
/// that XDG_RUNTIME_DIR is not set: not an error here, and not for a library to print. Where a compositor may be there,
/// nothing is changed.
pub(super) fn silence() {
    static ONCE: Once = Once::new();
    if std::env::var_os("WAYLAND_DISPLAY").is_none() && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        ONCE.call_once(set_handler);
    }
}

fn set_handler() {
    type Handler = extern "C" fn(*const c_char, *mut c_void);
    extern "C" fn ignore(_: *const c_char, _: *mut c_void) {}
    // SAFETY: libwayland's own function, found by name in the library that the layer is linked to, which stays loaded.
    // It keeps a pointer to a function that reads neither of its arguments, a format and a list that C passes by address.
    unsafe {
        let library = libc::dlopen(c"libwayland-client.so.0".as_ptr(), libc::RTLD_NOW);
        if library.is_null() {
            return;
        }
        let set = libc::dlsym(library, c"wl_log_set_handler_client".as_ptr());
        if !set.is_null() {
            std::mem::transmute::<*mut c_void, extern "C" fn(Handler)>(set)(ignore);
        }
    }
}
