# What compilers of real GPUs make of the kernels that GPUs take, on devices that are not there: Mesa's drivers for AMD,
# NVIDIA, Apple and Adreno compile for a device that mesa-drm-shim makes up. Nothing runs. The figures are compared with
# docs/compilers.tsv, which names the Mesa that they belong to; `GATEFOLD_KEEP=1` writes it anew.
#
# A kernel fails with an error, a spill, scratch memory, or a tenth more registers or instructions than the table has.

chroot_of forky mesa-vulkan-drivers,libvulkan1
shims=$root/usr/lib/x86_64-linux-gnu
[ -e "$shims/libamdgpu_noop_drm_shim.so" ] ||
  chroot "$root" apt-get -qq -o Acquire::Check-Valid-Until=false update &&
  chroot "$root" apt-get -qq install -y --no-install-recommends mesa-drm-shim >"$work/shim.log" 2>&1 ||
  give_up "mesa-drm-shim: see $work/shim.log"
[ -e "$shims/libvulkan.so" ] || ln -s libvulkan.so.1 "$shims/libvulkan.so"

rm -rf --one-file-system "$root/kernels" "$work/compilers"
mkdir -p "$root/kernels" "$root/assembly" "$work/compilers"
GATEFOLD_EXPORT=$root/kernels cargo test --quiet --workspace --test outside -- translation >"$work/spirv.log" 2>&1 ||
  give_up "naga: see $work/spirv.log"
cargo build --quiet -p gatefold-compilers
cp target/debug/gatefold-compilers "$root/compilers"
chroot "$root" dpkg-query -W -f '${Version}' mesa-vulkan-drivers >"$work/compilers/mesa"

# compile TARGET ROBUST DRIVER SHIM NAME=VALUE...: a table of the driver's figures.
compile() {
  local target=$1 robust=$2 driver=$3 shim=$4 out=$work/compilers/$1.$2
  shift 4
  rm -rf "$root/assembly"
  mkdir "$root/assembly"
  chroot "$root" env MESA_SHADER_CACHE_DISABLE=true ROBUST="$robust" "$@" \
    VK_DRIVER_FILES="/usr/share/vulkan/icd.d/$driver" \
    LD_PRELOAD="/usr/lib/x86_64-linux-gnu/lib${shim}_noop_drm_shim.so" \
    /compilers compile /kernels /assembly >"$out" 2>"$out.log" || { fail "$target: see $out.log"; return; }
  cp -r "$root/assembly" "$out.asm"
}

for robust in 0 1; do
  for card in navi21 navi31 gfx1201 vega10; do
    compile "$card" $robust radeon_icd.json amdgpu AMDGPU_GPU_ID=$card
  done
  compile turing $robust nouveau_icd.json nouveau NOUVEAU_CHIPSET=164 NVK_I_WANT_A_BROKEN_VULKAN_DRIVER=1
  compile ampere $robust nouveau_icd.json nouveau NOUVEAU_CHIPSET=174 NVK_I_WANT_A_BROKEN_VULKAN_DRIVER=1
  compile m1 $robust asahi_icd.json asahi
  compile adreno740 $robust freedreno_icd.json freedreno FD_GPU_ID=740
done

table=docs/compilers.tsv
target/debug/gatefold-compilers table "$work/compilers" "$table" >"$work/compilers.tsv" 2>"$work/faults" || true
passed=$(($(wc -l <"$work/compilers.tsv") - 1))
while read -r _ fault; do
  fail "$fault"
  passed=$((passed - 1))
done <"$work/faults"
echo "Mesa $(cat "$work/compilers/mesa"); the table is $work/compilers.tsv, compared with $table"
[ -z "${GATEFOLD_KEEP:-}" ] || cp "$work/compilers.tsv" "$table"
