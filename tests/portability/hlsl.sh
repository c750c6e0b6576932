# Every kernel through naga to HLSL, with parameters by immediates and by uniform, and the HLSL through Microsoft's
# compilers. DXC takes all of it. FXC takes what users run, which is unchecked: Windows has it, and it needs minutes for
# some of the checked kernels, which only tests run.

need "wine64 wine" wine
need gcc-mingw-w64-x86-64-win32 x86_64-w64-mingw32-gcc
microsoft_compilers
folder=$work/hlsl
rm -rf "$folder"
mkdir -p "$folder"
GATEFOLD_EXPORT=$folder cargo test --quiet -p gatefold-outside -- translation >"$work/hlsl.log" 2>&1 ||
  give_up "naga: see $work/hlsl.log"
kernels=$(find "$folder" -name '*.Uniform.checked.hlsl' | wc -l)
[ "$kernels" -gt 0 ] || give_up "no kernel was written"
x86_64-w64-mingw32-gcc -O1 -Wall -o "$work/dll/hlslcheck.exe" "$here/hlslcheck.c"

export WINEPREFIX=$work/wine WINEDEBUG=-all WINEDLLOVERRIDES='d3dcompiler_47=n;mscoree=;mshtml='
# Once by itself: processes that begin together would all make wine's folder.
wine wineboot --init >"$work/wine.log" 2>&1 || give_up "wine: see $work/wine.log"

# Seconds for one file: a compiler that does not come to its end is a failure, too.
export limit=300 check=$work/dll/hlslcheck.exe

# compile COMPILER PROFILE FILE: its line, in one piece, for many run at once.
compile() {
  local said status=0
  said=$(timeout "$limit" wine "$check" "$@" 2>&1 | tr -d '\r') || status=$?
  [ "$status" != 124 ] || said="FAILED $3"$'\n'"    no end within $limit s"
  [ -n "$said" ] || said="FAILED $3"$'\n'"    status $status, and nothing was said"
  printf '%s\n' "$said"
}
export -f compile

# compiles COMPILER PROFILE PATTERN: the files of a name, a processor each.
compiles() {
  local log=$work/$1.txt count good
  count=$(find "$folder" -name "$3" | wc -l)
  echo "$1 $2 under $(wine --version), $count files ($3) of $kernels kernels"
  (cd "$folder" && find . -name "$3" | cut -c3- | sort |
    xargs -P "$(nproc)" -I{} bash -o pipefail -c 'compile "$@"' - "$1" "$2" {}) >"$log" || true
  good=$(grep -c '^ok ' "$log" || true)
  passed=$((passed + good))
  failed=$((failed + count - good))
  [ "$good" = "$count" ] || grep -A2 '^FAILED' "$log" | head -60
}

compiles fxc cs_5_1 '*.unchecked.hlsl'
compiles dxc cs_6_2 '*.hlsl'
