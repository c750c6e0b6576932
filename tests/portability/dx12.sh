# The Windows program on DX12, in wine 10 (Debian trixie), with Microsoft's FXC. wine's DX12 runs on Vulkan's llvmpipe.

need gcc-mingw-w64-x86-64-win32 x86_64-w64-mingw32-gcc
microsoft_compilers
windows=${GATEFOLD_WINDOWS_EXE:-}
if [ -z "$windows" ]; then
  target=x86_64-pc-windows-gnu
  rustup target list --installed 2>/dev/null | grep -qx $target || rustup target add $target >/dev/null 2>&1 ||
    give_up "Rust's standard library for Windows is missing: rustup target add $target"
  # Correctness is asked here, not speed: without link-time optimisation the build takes a third of the time.
  CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    cargo build --release --quiet --target $target --target-dir "$work/build"
  windows=$work/build/$target/release/gatefold.exe
fi
if [ ! -e "$work/texts/where" ]; then
  (. "$here/here.sh") >"$work/here.log" 2>&1 || give_up "the texts to compare with: see $work/here.log"
fi

chroot_of trixie wine64,wine,xvfb,xauth,mesa-vulkan-drivers,libvulkan1,libgl1,libegl1,libxrandr2,libxcomposite1,libxcursor1,libxi6,libxinerama1,libxfixes3,libxrender1
mkdir -p "$root/suite"
cp "$windows" "$root/suite/gatefold.exe"
cp "$work/dll/d3dcompiler_47.dll" "$root/suite/"
chroot "$root" Xvfb :77 -screen 0 640x480x24 >/dev/null 2>&1 &
display=$!
trap 'kill $display 2>/dev/null || true; wait $display 2>/dev/null || true
  chroot "$root" env WINEPREFIX=/wine wineserver -k 2>/dev/null || true
  sleep 1; umount "$root/proc" "$root/dev" 2>/dev/null || true' EXIT
in_wine() {
  chroot "$root" env -C /suite DISPLAY=:77 HOME=/root WINEPREFIX=/wine WINEDEBUG=-all \
    WINEDLLOVERRIDES='d3dcompiler_47=n;mscoree=;mshtml=' wine gatefold.exe "$@" </dev/null
}
echo "$(chroot "$root" env HOME=/root wine --version), $(file -b "$windows" 2>/dev/null | cut -d, -f1)"
suite "wine" in_wine "$root/suite" dx12
