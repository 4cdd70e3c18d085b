/** The part of the install script that gets the command. Checked by shellcheck and run by dash and busybox in the interop tier. */
export const INSTALL_STEPS = `
say() { printf '%s\\n' "$*" >&2; }
fail() {
  say "error: $1"
  shift
  for line in "$@"; do say "  $line"; done
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

usage() {
  cat <<EOT
Installs the coder command from $BASE.

  curl -fsSL $BASE/install.sh | sh
  curl -fsSL $BASE/install.sh | sh -s -- [options]

  --prefix DIR     install as DIR/bin/coder; without it, /usr/local as root, else ~/.local
  --version V      install only if the deployment offers version V
  --ca-file FILE   PEM file of the authority that signed the deployment's certificate;
                   CURL_CA_BUNDLE and SSL_CERT_FILE are used as well
  --gpg-key FILE   public key that must have signed the executable (needs gpg)
  --uninstall      remove what this script installed
  --dry-run        say what would be done, but do nothing
  --help           this text
EOT
  [ "$WITH_AGENT" = yes ] || return 0
  cat <<EOT

As the script of a workspace's agent, it takes the token from CODER_AGENT_TOKEN or
CODER_AGENT_TOKEN_FILE, or asks for it, installs, and becomes the agent.

  --service        start the agent now and after every boot, by systemd
EOT
}

parse() {
  PREFIX=
  WANTED=
  CA=\${CODER_CA_FILE:-\${CURL_CA_BUNDLE:-\${SSL_CERT_FILE:-}}}
  CHOSEN_CA=\${CODER_CA_FILE:-}
  GPG_KEY=
  ACTION=install
  DRY=no
  SERVICE=no
  while [ $# -gt 0 ]; do
    case $1 in
      --prefix=* | --version=* | --ca-file=* | --gpg-key=*)
        option=\${1%%=*} value=\${1#*=}
        shift
        set -- "$option" "$value" "$@"
        continue
        ;;
      --prefix | --version | --ca-file | --gpg-key)
        if [ $# -lt 2 ] || [ -z "$2" ]; then fail "$1 needs a value"; fi ;;
    esac
    case $1 in
      --prefix) PREFIX=$2; shift ;;
      --version) WANTED=$2; shift ;;
      --ca-file) CA=$2 CHOSEN_CA=$2; shift ;;
      --gpg-key) GPG_KEY=$2; shift ;;
      --uninstall) ACTION=uninstall ;;
      --dry-run) DRY=yes ;;
      --service) [ "$WITH_AGENT" = yes ] || fail "--service needs the line of a workspace's agent" \\
        "coder external-workspaces agent-instructions WORKSPACE prints it"
        SERVICE=yes ;;
      -h | --help) usage; exit 0 ;;
      *) fail "unknown option $1" "--help lists the options" ;;
    esac
    shift
  done
  # The agent, and a service with another working folder, trust the same file.
  [ -z "$CA" ] || CA=$(absolute "$CA")
  [ -z "$CA" ] || [ -r "$CA" ] || fail "cannot read the certificates in $CA"
  [ -z "$GPG_KEY" ] || [ -r "$GPG_KEY" ] || fail "cannot read the key $GPG_KEY"
  [ -z "$GPG_KEY" ] || have gpg || fail "gpg, which checks the signature, is missing" "install gnupg, or omit --gpg-key"
}

absolute() {
  case $1 in
    /*) printf '%s\\n' "$1" ;;
    *) printf '%s\\n' "$PWD/$1" ;;
  esac
}

platform() {
  OS=$(uname -s)
  case $OS in
    Linux) OS=linux ;;
    Darwin) OS=darwin ;;
    MINGW* | MSYS* | CYGWIN*) fail "this script is not for Windows" "in PowerShell: iwr -useb $BASE/install.ps1 | iex" ;;
    *) fail "there is no coder for $OS" ;;
  esac
  ARCH=$(uname -m)
  case $ARCH in
    x86_64 | amd64) ARCH=amd64 ;;
    aarch64 | arm64) ARCH=arm64 ;;
    armv7* | armv8l) ARCH=armv7 ;;
    *) fail "there is no coder for the processor $ARCH" ;;
  esac
  # A shell under Rosetta calls an Apple processor x86_64.
  if [ "$OS-$ARCH" = darwin-amd64 ] && [ "$(sysctl -n sysctl.proc_translated 2>/dev/null)" = 1 ]; then ARCH=arm64; fi
  NAME=coder-$OS-$ARCH
}

choose_place() {
  if [ -n "$PREFIX" ]; then
    PREFIX=$(absolute "$PREFIX")
  elif [ "$(id -u)" = 0 ]; then
    PREFIX=/usr/local
  elif [ -n "\${HOME:-}" ] && { [ "$DRY" = yes ] || mkdir -p "$HOME/.local/bin" 2>/dev/null; }; then
    PREFIX=$HOME/.local
  elif [ "$WITH_AGENT" = yes ] && [ "$SERVICE" = no ]; then
    PREFIX=$(mktemp -d "\${TMPDIR:-/tmp}/coder.XXXXXX") || fail "there is no folder to write to" "give one by --prefix DIR"
  else
    fail "the home folder cannot be written to" "give another one by --prefix DIR"
  fi
  BIN=\${PREFIX%/}/bin
  TARGET=$BIN/coder
}

choose_tools() {
  if have curl; then
    FETCH=curl
  elif have wget; then
    FETCH=wget
    # The wget of busybox, which supports neither certificate files nor GNU's options.
    wget --help 2>&1 | grep -q -- --ca-certificate || FETCH=small_wget
    # It waits indefinitely. Few builds have an option against that; otherwise the whole download has a limit.
    PATIENCE=
    LIMIT=
    if wget --help 2>&1 | grep -q -e '-T '; then
      PATIENCE='-T 60'
    elif timeout 5 sh -c : 2>/dev/null; then
      LIMIT='timeout 3600'
    fi
  else
    fail "neither curl nor wget is installed" "install one of them, such as by: apt-get install curl"
  fi
  case $FETCH$BASE in
    small_wgethttps:*)
      [ -z "$CA" ] || fail "this wget cannot check the certificate of $BASE" "install curl"
      say "warning: this wget may not check the certificate of $BASE; curl would" ;;
  esac
  if have sha256sum; then
    SUM='sha256sum'
  elif have shasum; then
    SUM='shasum -a 256'
  elif have openssl; then
    SUM='openssl dgst -sha256 -r'
  else
    fail "no program on this machine computes SHA-256" "install coreutils, perl or openssl"
  fi
  # wget does not know the names in capitals.
  [ -n "\${https_proxy:-}" ] || [ -z "\${HTTPS_PROXY:-}" ] || export https_proxy="$HTTPS_PROXY"
  [ -n "\${no_proxy:-}" ] || [ -z "\${NO_PROXY:-}" ] || export no_proxy="$NO_PROXY"
}

# fetch PATH FILE; the program's messages go to the file "said". It fails after a minute without a byte.
fetch_once() {
  case $FETCH in
    curl)
      set -- "$BASE$1" -o "$2" -fsSL --connect-timeout 20 --speed-limit 1 --speed-time 60
      [ -z "$CA" ] || set -- "$@" --cacert "$CA"
      if curl -V 2>/dev/null | grep -q libz; then set -- "$@" --compressed; fi
      curl "$@" 2>"$WORK/said" ;;
    wget)
      set -- "$BASE$1" -O "$2" -nv --tries=1 --timeout=60
      [ -z "$CA" ] || set -- "$@" --ca-certificate="$CA"
      wget "$@" 2>"$WORK/said" ;;
    small_wget)
      # shellcheck disable=SC2086 # two words, or none
      $LIMIT wget -q $PATIENCE -O "$2" "$BASE$1" 2>"$WORK/said" ;;
  esac
}

fetch() {
  for pause in 2 5 0; do
    CODE=0
    fetch_once "$1" "$2" || CODE=$?
    [ "$CODE" -ne 0 ] || return 0
    # Missing or untrusted: another attempt would change nothing.
    if said_missing || said_untrusted; then return 1; fi
    if [ $pause -gt 0 ]; then sleep $pause; fi
  done
  return 1
}

said_missing() { grep -q -E '(error: |ERROR |HTTP/1[.][01] )404' "$WORK/said"; }
# A connection that broke inside TLS does not count. 60: not trusted; 77: the file of authorities cannot be used.
said_untrusted() {
  case $FETCH in
    curl) [ "$CODE" -eq 60 ] || [ "$CODE" -eq 77 ] ;;
    *) grep -q -i 'certificate' "$WORK/said" ;;
  esac
}

fetch_or_fail() {
  fetch "$1" "$2" && return 0
  why=$(tail -n 3 "$WORK/said")
  if said_missing; then
    fail "$BASE does not hand out coder" "ask its administrator to start the server with --binaries-dir"
  elif said_untrusted; then
    fail "the certificate of $BASE is not trusted" "$why" "name the certificate of its authority with --ca-file FILE"
  fi
  fail "cannot fetch $BASE$1" "$why" "behind a proxy, set https_proxy and http_proxy"
}

sum_of() { $SUM "$1" | cut -c 1-64; }
field() { printf '%s\\n' "$2" | cut -d ' ' -f "$1"; }

# The program's version, which is the second word of "coder version"; fails if the program cannot run.
version_of() {
  line=$("$1" version </dev/null 2>"$WORK/said") || return 1
  field 2 "$line"
}

cannot_run() {
  why=$(head -n 3 "$WORK/said")
  if [ "$OS" = linux ] && mount_says_noexec; then
    fail "programs in $BIN may not be run: it is mounted noexec" "choose another folder by --prefix DIR"
  fi
  set -- "$why"
  case $why in
    *libatomic*) set -- "$@" "install libatomic1 (Debian, Ubuntu) or libatomic (Fedora, RHEL)" ;;
    *libstdc++*) set -- "$@" "install libstdc++6 (Debian, Ubuntu) or libstdc++ (Fedora, RHEL, Alpine)" ;;
    *GLIBC*) set -- "$@" "this system is older than glibc 2.28" ;;
    *"not found"*) if [ -x "$FILE" ]; then
      set -- "$@" "its loader is missing: this system has no glibc, such as Alpine, which has musl" \\
        "install Node 22.13 or newer and npm, then: npm install -g @coder-network/cli"
      [ "$WITH_AGENT" = no ] || set -- "$@" "then run this line again with CODER_BINARY=coder in front of its sh"
    fi ;;
  esac
  fail "the executable of $BASE does not run on this machine" "$@"
}

mount_says_noexec() {
  printf '#!/bin/sh\\nexit 0\\n' >"$FILE.try" && chmod 755 "$FILE.try"
  if "$FILE.try" 2>/dev/null; then rm -f "$FILE.try"; return 1; fi
  rm -f "$FILE.try"
}

check_signature() {
  [ -n "$GPG_KEY" ] || return 0
  fetch "/bin/$NAME.asc" "$WORK/asc" || fail "$BASE has no signature of $NAME" "omit --gpg-key to install without a signature"
  mkdir -m 700 "$WORK/gpg"
  gpg --homedir "$WORK/gpg" --batch --quiet --import "$GPG_KEY" 2>"$WORK/said" || fail "gpg does not accept the key $GPG_KEY" "$(tail -n 3 "$WORK/said")"
  gpg --homedir "$WORK/gpg" --batch --verify "$WORK/asc" "$FILE" 2>"$WORK/said" ||
    fail "$NAME was not signed by the key $GPG_KEY" "$(tail -n 3 "$WORK/said")"
  say "The signature is good."
}

check_wanted() {
  case $WANTED in
    "" | "$1" | "\${1#v}" | "\${1%%+*}") return 0 ;;
  esac
  plain=\${1#v}
  [ "$WANTED" = "\${plain%%+*}" ] || fail "the deployment offers $1, not $WANTED" "omit --version to install that one"
}

begin_work() {
  WORK=$(mktemp -d "\${TMPDIR:-/tmp}/coder-install.XXXXXX") || fail "there is no folder for temporary files" "set TMPDIR"
  FILE=
  trap clean_up EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

clean_up() {
  rm -rf "$WORK"
  if [ -n "$FILE" ]; then rm -f "$FILE" "$FILE.try"; fi
}

install_coder() {
  fetch_or_fail /bin/SHA256SUMS "$WORK/sums"
  wanted=$(grep "^[0-9a-f]\\{64\\}  $NAME\\$" "$WORK/sums" | cut -c 1-64) || true
  if [ -z "$wanted" ]; then
    if [ "$WITH_AGENT" = yes ] && have coder; then
      TARGET=$(command -v coder)
      say "$BASE has no coder for $OS/$ARCH; $TARGET is used."
      return 0
    fi
    fail "$BASE has no coder for $OS/$ARCH" "it has: $(cut -c 67- "$WORK/sums" | tr '\\n' ' ')" \\
      "ask its administrator to add $NAME to the server's --binaries-dir"
  fi
  if [ -x "$TARGET" ] && [ "$(sum_of "$TARGET")" = "$wanted" ] && version=$(version_of "$TARGET"); then
    check_wanted "$version"
    say "$TARGET is up to date ($version)."
    return 0
  fi
  mkdir -p "$BIN" 2>"$WORK/said" || fail "cannot make $BIN" "$(cat "$WORK/said")" "choose another folder by --prefix DIR"
  [ ! -d "$TARGET" ] || fail "$TARGET is a folder"
  # In the same folder, so that the last step is a rename.
  FILE=$(mktemp "$BIN/.coder.XXXXXX" 2>"$WORK/said") || fail "cannot write to $BIN" "$(cat "$WORK/said")" "choose another folder by --prefix DIR"
  say "Downloading $BASE/bin/$NAME"
  fetch_or_fail "/bin/$NAME" "$FILE"
  sum=$(sum_of "$FILE")
  [ "$sum" = "$wanted" ] || fail "checksum mismatch: the download is not what $BASE announced" "SHA-256 is $sum" "it should be $wanted" "run this again; if it happens again, tell the administrator"
  check_signature
  chmod 755 "$FILE"
  version=$(version_of "$FILE") || cannot_run
  check_wanted "$version"
  before=
  if [ -x "$TARGET" ]; then before=$(version_of "$TARGET") || before=unknown; fi
  mv -f "$FILE" "$TARGET"
  FILE=
  if [ -z "$before" ]; then say "Installed $TARGET ($version)."; else say "Replaced $TARGET ($before) by $version."; fi
}

hint_path() {
  case :\${PATH:-}: in
    *":$BIN:"*) COMMAND=coder ;;
    *)
      COMMAND=$TARGET
      say "$BIN is not in PATH. To have it there:"
      say "  export PATH=\\"$BIN:\\$PATH\\"" ;;
  esac
}

plan() {
  if [ "$ACTION" = uninstall ]; then
    say "Would remove $TARGET$(service_plan)."
    return 0
  fi
  say "Would download $BASE/bin/$NAME by $FETCH, check its SHA-256 and install it as $TARGET."
  if [ "$WITH_AGENT" = yes ]; then say "Would then start the agent$(service_plan)."; fi
}

uninstall() {
  remove_service
  if [ -f "$TARGET" ] || [ -L "$TARGET" ]; then
    rm -f "$TARGET" || fail "cannot remove $TARGET"
    say "Removed $TARGET. Logins stay, in \${CODER_CONFIG_DIR:-\${XDG_CONFIG_HOME:-~/.config}/coderv2}."
  else
    say "There is no $TARGET."
  fi
}

main() {
  # All users may use what is installed; what the agent creates follows its user's umask.
  UMASK=$(umask)
  umask 022
  parse "$@"
  if [ "$WITH_AGENT" = yes ] && [ -n "\${CODER_BINARY:-}" ]; then
    TARGET=$(command -v "$CODER_BINARY") || fail "CODER_BINARY is $CODER_BINARY, which is not installed on this machine"
    read_token
    start_agent
  fi
  platform
  choose_place
  if [ "$ACTION" = install ]; then choose_tools; fi
  if [ "$DRY" = yes ]; then plan; exit 0; fi
  if [ "$ACTION" = uninstall ]; then uninstall; exit 0; fi
  if [ "$WITH_AGENT" = yes ]; then read_token; fi
  begin_work
  install_coder
  if [ "$WITH_AGENT" = yes ]; then
    clean_up
    trap - EXIT HUP INT TERM
    start_agent
  fi
  hint_path
  say "Next: $COMMAND login $BASE"
}
`;
