# What the parts share: counting, missing tools, and the one suite that a program runs through on each adapter.

passed=0 failed=0

pass() {
  passed=$((passed + 1))
  echo "ok      $*"
}

fail() {
  failed=$((failed + 1))
  echo "FAILED  $*"
}

finish() {
  echo "$passed passed, $failed failed"
  touch "$work/finished"
  [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

# A part that cannot go on.
give_up() {
  fail "$*"
  finish
  exit 1
}

# need PACKAGES COMMAND...: installs the packages unless all commands are there.
need() {
  local packages=$1 command
  shift
  for command; do
    command -v "$command" >/dev/null || { install_packages "$packages" && return 0; }
  done
}

install_packages() {
  local root=()
  [ "$(id -u)" = 0 ] || root=(sudo)
  if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || [ -n "${CI:-}" ]; }; then
    echo "installing $1"
    "${root[@]}" apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -y -qq --no-install-recommends $1 >/dev/null
  else
    give_up "missing; as root: apt-get install $1"
  fi
}

# chroot_of SUITE PACKAGES: a folder with that Debian in it, made once. Sets `root`.
chroot_of() {
  root=$work/$1
  [ "$(id -u)" = 0 ] || give_up "a chroot of Debian $1 is made and entered as root: sudo $0"
  if [ ! -e "$root/.complete" ]; then
    need debootstrap debootstrap
    local scripts=/usr/share/debootstrap/scripts
    [ -e "$scripts/$1" ] || ln -s sid "$scripts/$1"
    echo "making a chroot of Debian $1"
    rm -rf --one-file-system "$root"
    debootstrap --no-check-gpg --variant=minbase --include="$2" "$1" "$root" \
      >"$work/$1.log" 2>&1 || give_up "debootstrap $1: see $work/$1.log"
    touch "$root/.complete"
  fi
  mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
  mountpoint -q "$root/dev" || mount --bind /dev "$root/dev"
  trap 'umount "$root/proc" "$root/dev" 2>/dev/null || true' EXIT
}

# The program for this machine, in `exe`.
host_program() {
  exe=${GATEFOLD_EXE:-}
  if [ -z "$exe" ]; then
    cargo build --release --quiet
    exe=target/release/gatefold
  fi
}

# The text that a program trains on: the same everywhere.
corpus() {
  local i
  for i in $(seq 400); do
    printf 'the gate folds %d times and forgets %d of %d states\n' $((i * 7 % 23)) $((i * i % 11)) $((i % 5))
  done
}

# suite PLACE PROGRAM FOLDER BACKEND: everything that a user does, on each adapter of a backend that the program
# lists (`.` is any). PROGRAM is a function that runs gatefold; FOLDER is where it finds and leaves files, here, and
# `.` to the program. Texts are compared with those of the first adapter that ever ran, and its losses too.
suite() {
  local place=$1 program=$2 folder=$3 backend=$4 index name found=0
  mkdir -p "$folder"
  corpus >"$folder/corpus.txt"
  $program devices >"$folder/devices.txt" 2>&1 || fail "devices on $place"
  sed 's/^/        /' "$folder/devices.txt"
  while read -r index name; do
    found=1
    adapter_suite "$place, $name" "$program" "$folder" "$index"
  done < <(awk -v backend="$backend" '
    /^ *[0-9]+  / { index_ = $1; sub(/^ *[0-9]+  /, ""); sub(/ \*$/, ""); name = $0; next }
    /^     .*, / && name != "" { if ($0 ~ backend) { sub(/^ +/, ""); print index_, name " (" $0 ")" } name = "" }
  ' "$folder/devices.txt")
  [ "$found" = 1 ] || fail "$place: no adapter of $backend"
}

adapter_suite() {
  local where=$1 program=$2 folder=$3 index=$4 what counts
  echo "on $where"
  if [ "${GATEFOLD_CASES:-}" = tested ]; then
    echo "        check: tests/run has just run every case here"
  elif $program check --device "$index" >"$folder/check.txt" 2>&1; then
    pass "check: $(tail -1 "$folder/check.txt")"
  else
    fail "check on $where"
    grep -A3 MISSED "$folder/check.txt" | head -40 || tail -5 "$folder/check.txt"
  fi
  generates "$where" greedy "$program" "$folder" --prompt 'ROMEO:' --temperature 0 --max-tokens 200 --device "$index"
  generates "$where" seeded "$program" "$folder" --prompt 'KING' --seed 7 --max-tokens 200 --device "$index"
  rm -rf "$folder/model"
  if $program train --data corpus.txt --output model --steps 20 --hidden 48 --embedding 16 --layers 2 --batch-size 4 \
    --sequence-length 24 --dropout 0.1 --seed 5 --learning-rate 0.01 --warmup 2 --log-every 2 --device "$index" >"$folder/train.txt" 2>&1; then
    losses "$folder" >"$folder/train.text"
    agrees "$where" train "$folder"
    if awk 'NR == 1 { first = $1 } END { exit !(NR > 5 && $1 < 0.9 * first) }' "$folder/train.text"; then
      pass "train: the loss falls from $(head -1 "$folder/train.text") to $(tail -1 "$folder/train.text") nats"
    else
      fail "train on $where: the loss does not fall: $(tr '\n' ' ' <"$folder/train.text")"
    fi
    generates "$where" trained "$program" "$folder" --model model --temperature 0 --max-tokens 60 --device "$index"
  else
    fail "train on $where"
    tail -5 "$folder/train.txt"
  fi
}

# The losses of a run to three digits.
losses() {
  grep -o '"loss":[0-9.e+-]*' "$1/model/log.jsonl" | cut -d: -f2 | awk '{ printf "%.3f\n", $1 }'
}

# generates WHERE WHAT PROGRAM FOLDER ARGUMENTS...
generates() {
  local where=$1 what=$2 program=$3 folder=$4
  shift 4
  if $program generate "$@" >"$folder/$what.text" 2>"$folder/$what.err"; then
    agrees "$where" "$what" "$folder"
  else
    fail "$what on $where: $(tail -1 "$folder/$what.err")"
  fi
}

# agrees WHERE WHAT FOLDER: the text is what the first adapter wrote.
agrees() {
  local base=$work/texts/$2.text
  if [ ! -s "$3/$2.text" ]; then
    fail "$2 on $1: nothing was written"
  elif [ ! -e "$base" ]; then
    mkdir -p "$work/texts"
    cp "$3/$2.text" "$base"
    echo "$1" >"$work/texts/where"
    pass "$2: $(wc -c <"$base") bytes, which the others are compared with"
  elif cmp -s "$base" "$3/$2.text"; then
    pass "$2: as on $(cat "$work/texts/where")"
  else
    fail "$2 on $1 differs from $(cat "$work/texts/where")"
    diff "$base" "$3/$2.text" | head -6
  fi
}

# Microsoft's compilers as files, in $work/dll: the npm package of Dawn ships them.
microsoft_compilers() {
  [ -e "$work/dll/dxcompiler.dll" ] && return 0
  need npm npm
  mkdir -p "$work/dll"
  (cd "$work/dll" && npm pack --silent webgpu >/dev/null && tar xzf webgpu-*.tgz --strip-components=3 \
    package/dist/win32-x64/d3dcompiler_47.dll package/dist/win32-x64/dxcompiler.dll && rm webgpu-*.tgz) ||
    give_up "npm pack webgpu: d3dcompiler_47.dll and dxcompiler.dll could not be had"
}
