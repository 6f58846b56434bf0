#!/usr/bin/env bash
# Everything that is tested, in one run: formatting, lints, all tests of all crates (the simulator's fixed seeds among
# them) and the black-box tests against real peers (Postfix, Dovecot, BIND, swaks, curl, fetchmail).
#
# As root on Debian it installs the peers that are missing; it starts no service. What it cannot run it names, and
# counts as skipped in the last line: `N passed, N failed, N skipped`.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never} RUST_BACKTRACE=${RUST_BACKTRACE:-1}
# Most black-box tests wait for sockets and disks, not for a core.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-4}

say() { printf '\n== %s\n' "$*"; }

# --- peers -----------------------------------------------------------------------------------------------------------
# program (looked for with the system folders in PATH) and the Debian package that brings it
peers='postfix=postfix dovecot=dovecot-core doveadm=dovecot-core /usr/lib/dovecot/lmtp=dovecot-lmtpd
/usr/lib/dovecot/pop3=dovecot-pop3d named=bind9 dnssec-signzone=bind9-utils swaks=swaks curl=curl fetchmail=fetchmail python3=python3
unshare=util-linux mount=mount openssl=openssl pebble=pebble chromium=chromium chromedriver=chromium-driver
krb5kdc=krb5-kdc kadmin.local=krb5-admin-server kinit=krb5-user krb5-config=libkrb5-dev'
export PATH="$PATH:/usr/sbin:/sbin"

libclang() { compgen -G '/usr/lib/*/libclang*.so' || compgen -G '/usr/lib/llvm*/lib/libclang*.so'; }

missing_packages() {
  local pair
  for pair in $peers; do
    command -v "${pair%%=*}" >/dev/null 2>&1 || echo "${pair#*=}"
  done | sort -u
  # What swaks needs for TLS, and Postfix for AUTH, are no programs.
  perl -MNet::SSLeay -e 1 2>/dev/null || echo libnet-ssleay-perl
  python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
  # What the feature `kerberos` is built with.
  [ -n "$(libclang)" ] || echo libclang-dev
  /usr/bin/python3 -c 'import gssapi' 2>/dev/null || echo python3-gssapi
  compgen -G '/usr/lib/*/sasl2/libplain.so*' >/dev/null || echo libsasl2-modules
}

install_peers() {
  local wanted policy=/usr/sbin/policy-rc.d made_policy=
  wanted=$(missing_packages)
  [ -n "$wanted" ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed, and not root on Debian: $(echo $wanted)"
    return 0
  fi
  say "installing: $(echo $wanted)"
  # No service that a package brings may start by itself.
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod 755 "$policy" && made_policy=1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq </dev/null || echo "apt-get update failed; trying with the lists that are there"
  # shellcheck disable=SC2086  # a list of names
  apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 $wanted </dev/null >/dev/null ||
    echo "apt-get install failed"
  [ -z "$made_policy" ] || rm -f "$policy"
}

install_peers

# --- what cannot run here --------------------------------------------------------------------------------------------
# Each module of black-box tests that needs something of the machine is named after it; without it, the module is
# filtered out, named here and at the end, and its tests are counted as skipped.
filters=() unable=()
need() { # MODULE REASON PROGRAM...
  local module=$1 what=$2 program
  shift 2
  for program in "$@"; do
    if ! command -v "$program" >/dev/null 2>&1; then
      unable+=("$module: $what ($program is missing)")
      filters+=(--skip "$module::")
      return
    fi
  done
}
need_root() { # MODULE REASON
  if [ "$(id -u)" != 0 ]; then
    unable+=("$1: $2 (not root)")
    filters+=(--skip "$1::")
  fi
}
need with_clients "mail handed in by swaks, smtplib and curl" swaks python3 curl
if ! perl -MNet::SSLeay -e1 2>/dev/null; then
  unable+=("with_clients: swaks under TLS (Net::SSLeay is missing)")
  filters+=(--skip "with_clients::")
fi
need with_openssl "keys, certificates and TLS as OpenSSL makes them" openssl
need with_pebble "certificates obtained by ACME" pebble pebble-challtestsrv
# NTLM and tokens as others made them, in a Python of its own unless the machine's has what they need.
export MAILROOT_TEST_PYTHON=${MAILROOT_TEST_PYTHON:-python3}
has_python() { "$MAILROOT_TEST_PYTHON" -c "import $1" 2>/dev/null; }
if ! has_python 'spnego, authlib, joserfc, flask, cryptography'; then
  MAILROOT_TEST_PYTHON=$PWD/target/test-python/bin/python
  if ! has_python 'spnego, authlib, joserfc, flask, cryptography'; then
    say "installing: pyspnego, Authlib, Flask, cryptography, in target/test-python"
    python3 -m venv target/test-python &&
      target/test-python/bin/pip install -q --disable-pip-version-check pyspnego Authlib Flask cryptography
  fi
fi
# Without a network, perhaps: then what the machine has.
has_python spnego || has_python authlib || MAILROOT_TEST_PYTHON=python3
if ! has_python spnego; then
  unable+=("with_spnego: NTLM as pyspnego speaks it (the Python package pyspnego is missing)")
  filters+=(--skip "with_spnego::")
fi
if ! has_python 'authlib, joserfc, flask, cryptography'; then
  unable+=("with_idp: tokens of an identity provider (the Python package Authlib, Flask or cryptography is missing)")
  filters+=(--skip "with_idp::")
else
  need with_idp "tokens of an identity provider" openssl curl
fi
# Tests that are compiled with the feature only, as a check of their own.
kerberos=yes
for program in krb5kdc kdb5_util kadmin.local kinit krb5-config curl; do
  command -v "$program" >/dev/null 2>&1 || kerberos=no
done
[ -n "$(libclang)" ] && /usr/bin/python3 -c 'import gssapi' 2>/dev/null || kerberos=no
[ "$kerberos" = yes ] || unable+=("with_kerberos: GSSAPI with an MIT key distribution centre (it, libkrb5-dev, libclang-dev or python3-gssapi is missing)")
need with_chromium "the console in a browser" chromium chromedriver
# What looks for faults of accessibility within the pages; a file of an npm package, for which Node is not needed to run.
axe=${CARGO_TARGET_DIR:-target}/axe-core
if command -v chromedriver >/dev/null 2>&1 && [ ! -e "$axe/package/axe.min.js" ]; then
  mkdir -p "$axe"
  if command -v npm >/dev/null 2>&1; then
    say "fetching: axe-core, in $axe"
    (cd "$axe" && npm pack --silent axe-core@4 >/dev/null && tar xzf axe-core-4*.tgz && rm -f axe-core-4*.tgz)
  fi
fi
if [ ! -e "$axe/package/axe.min.js" ]; then
  unable+=("with_axe: faults of accessibility (axe-core is missing: npm pack axe-core@4, unpacked in $axe)")
  filters+=(--skip "with_axe::")
fi
need with_bind "hosts found through a real name server" named named-checkconf dnssec-keygen dnssec-signzone
if [ "$(id -u)" = 0 ]; then
  need with_postfix "a real Postfix as next hop and as client" postfix swaks curl python3 named
  need with_dovecot "LMTP into a real Dovecot, downloaded over POP3, and log-ons that it checks" dovecot postfix curl fetchmail swaks python3 \
    /usr/lib/dovecot/lmtp /usr/lib/dovecot/pop3
  need as_root "full and read-only disks in a mount namespace" unshare mount setpriv
  if command -v unshare >/dev/null 2>&1 && ! unshare -m true 2>/dev/null; then
    unable+=("as_root: full and read-only disks (this machine gives no mount namespace)")
    filters+=(--skip "as_root::")
  fi
else
  need_root with_postfix "a real Postfix as next hop and as client"
  need_root with_dovecot "LMTP into a real Dovecot, downloaded over POP3, and log-ons that it checks"
  need_root as_root "full and read-only disks, foreign files"
fi

# --- the run ---------------------------------------------------------------------------------------------------------
failed_checks=0 passed_checks=0 broken=()
check() { # NAME COMMAND...
  local name=$1
  shift
  say "$name"
  if "$@" </dev/null; then
    passed_checks=$((passed_checks + 1))
  else
    failed_checks=$((failed_checks + 1))
    broken+=("$name")
  fi
}

check 'cargo fmt --check' cargo fmt --all --check
check 'cargo clippy' cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

if [ "$kerberos" = yes ]; then
  check 'cargo clippy, with Kerberos' cargo clippy -p daemon --features kerberos --all-targets --locked --quiet -- -D warnings
  check 'the rules of GSSAPI' cargo test -p daemon --features kerberos --locked --lib -- kerberos::
  check 'GSSAPI with an MIT key distribution centre' \
    cargo test -p daemon --features kerberos --locked --test main -- with_kerberos::
fi

# A workspace of its own, so that nothing above needs the fuzzer's engine, which is built from C++.
if command -v c++ >/dev/null 2>&1; then
  check 'the fuzz targets compile' \
    env CARGO_TARGET_DIR="$PWD/fuzz/target" cargo check --manifest-path fuzz/Cargo.toml --locked --quiet
else
  unable+=("the fuzz targets (c++ is missing)")
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
say "cargo test --workspace ${filters[*]:-}"
cargo test --workspace --locked --no-fail-fast -- ${filters[@]+"${filters[@]}"} </dev/null 2>&1 | tee "$log"
tests_status=${PIPESTATUS[0]}

# --- the sum ---------------------------------------------------------------------------------------------------------
sum() { # WORD: adds up what each test binary counted under that word
  sed -n 's/^test result: .*[^0-9]\([0-9][0-9]*\) '"$1"'.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }'
}
passed=$(sum passed) failed=$(sum failed)
skipped=$(($(sum ignored) + $(sum 'filtered out')))

say 'test binaries'
grep -E '^( +Running |test result: )' "$log"
if [ "${#unable[@]}" -gt 0 ]; then
  say 'not run on this machine'
  printf '%s\n' "${unable[@]}"
fi
if [ "${#broken[@]}" -gt 0 ]; then
  say 'checks that failed'
  printf '%s\n' "${broken[@]}"
fi
status=0
[ "$tests_status" -eq 0 ] && [ "$failed" -eq 0 ] && [ "$failed_checks" -eq 0 ] || status=1
if [ "$tests_status" -ne 0 ] && [ "$failed" -eq 0 ]; then
  echo 'cargo test did not get through (see above)'
  failed=$((failed + 1))
fi
if [ "$passed" -eq 0 ]; then
  echo 'no test ran: that is a failure'
  status=1
fi
echo
echo "$((passed + passed_checks)) passed, $((failed + failed_checks)) failed, $skipped skipped"
exit $status
