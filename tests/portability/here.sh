# The adapters of this machine, with whatever Vulkan, Metal or DX12 they have, and the CPU beside them.

host_program
exe=$(realpath "$exe")
on_host() { (cd "$work/here" && "$exe" "$@"); }

rm -rf "$work/texts" "$work/here"
mkdir -p "$work/here"
suite "this machine" on_host "$work/here" .
adapter_suite "the CPU" on_host "$work/here" cpu
