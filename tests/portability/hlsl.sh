# Every kernel through naga to HLSL, with and without checks, with parameters by immediates and by uniform, and the HLSL
# through Microsoft's compilers: FXC as Windows has it, and DXC.

need "wine64 wine" wine
need gcc-mingw-w64-x86-64-win32 x86_64-w64-mingw32-gcc
microsoft_compilers
folder=$work/hlsl
rm -rf "$folder"
mkdir -p "$folder"
GATEFOLD_EXPORT=$folder cargo test --quiet --test all -- translation >"$work/hlsl.log" 2>&1 ||
  give_up "naga: see $work/hlsl.log"
count=$(find "$folder" -name '*.hlsl' | wc -l)
[ "$count" -gt 0 ] || give_up "no kernel was written"
x86_64-w64-mingw32-gcc -O1 -Wall -o "$work/dll/hlslcheck.exe" "$here/hlslcheck.c"

export WINEPREFIX=$work/wine WINEDEBUG=-all WINEDLLOVERRIDES='d3dcompiler_47=n;mscoree=;mshtml='
for compiler in 'fxc cs_5_1' 'dxc cs_6_2'; do
  echo "$compiler under $(wine --version), $count files of $(find "$folder" -name '*.Uniform.checked.hlsl' | wc -l) kernels"
  # shellcheck disable=SC2086
  (cd "$folder" && find . -name '*.hlsl' | sort | cut -c3- | xargs -n 200 wine "$work/dll/hlslcheck.exe" $compiler) \
    >"$work/${compiler% *}.log" 2>"$work/${compiler% *}.err" || true
  tr -d '\r' <"$work/${compiler% *}.log" >"$work/${compiler% *}.txt"
  good=$(grep -c '^ok ' "$work/${compiler% *}.txt" || true)
  passed=$((passed + good))
  failed=$((failed + count - good))
  [ "$good" = "$count" ] || { grep -A2 '^FAILED' "$work/${compiler% *}.txt" || tail -3 "$work/${compiler% *}.err"; } | head -60
done
