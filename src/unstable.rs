//! The modules behind the front door, as the program, the tests and the benches use them: **unstable**. They change with any
//! version, and nothing here is promised. docs/ARCHITECTURE.md is their map.

/// Everything that a module has in public, under the module's own name.
macro_rules! modules {
    ($($(#[$gate:meta])* $name:ident),+ $(,)?) => {
        $($(#[$gate])* #[allow(missing_docs)] pub mod $name {
            pub use crate::$name::*;
        })+
    };
}

modules! {
    #[cfg(feature = "cli")]
    bench,
    check,
    #[cfg(feature = "cli")]
    cli,
    cpu,
    executor,
    generate,
    gpu,
    #[cfg(not(target_arch = "wasm32"))]
    host,
    import,
    model,
    network,
    ops,
    plan,
    score,
    text,
    train,
}
