# Every kernel and case on the WebGPU of Chromium (Tint compiles, SwiftShader runs): parameters by uniform with a dynamic
# offset, no feature and no limit beyond WebGPU's defaults.

need chromium chromium
need nodejs node
folder=$work/web
rm -rf "$folder"
mkdir -p "$folder"
GATEFOLD_GPU=required GATEFOLD_EXPORT=$folder cargo test --quiet --test all -- export: >"$work/web.log" 2>&1 ||
  give_up "the cases could not be written: see $work/web.log"
echo "$(find "$folder" -name '*.json' | wc -l) cases of kernels, $(du -sh "$folder" | cut -f1)"
node "$here/web/serve.mjs" "$folder" "$(command -v chromium)" >"$work/web.txt" || true
sed '$d' "$work/web.txt"
read -r passed _ failed _ < <(tail -1 "$work/web.txt" | tr -d ,)
rm -rf "$folder"
