# The core alone for browsers: everything but `host`, the commands and the benchmarks, checked for wasm32. Rust's standard
# library for wasm32 is built on the way, by the compiler that Debian has for that.

need 'rustc-web cargo-web rust-web-src' /usr/bin/cargo
compiler=$(/usr/bin/rustc --version)
if RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$work/wasm" /usr/bin/cargo check --lib --quiet --locked \
  --no-default-features -Zbuild-std=std,panic_abort --target wasm32-unknown-unknown; then
  pass "wasm32-unknown-unknown: the core compiles with $compiler"
else
  fail "wasm32-unknown-unknown: the core does not compile with $compiler"
fi
