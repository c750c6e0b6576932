# The adapters of this machine, then llvmpipe of Mesa 26: the distribution's own may be years old.

if [ "$(uname -s)" = Linux ] && ! compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null; then
  install_packages "mesa-vulkan-drivers libvulkan1"
fi
. "$here/here.sh"

chroot_of forky mesa-vulkan-drivers,libvulkan1
mkdir -p "$root/suite"
cp "$exe" "$root/gatefold"
in_forky() { chroot "$root" env -C /suite /gatefold "$@"; }
suite "Debian forky" in_forky "$root/suite" vulkan
