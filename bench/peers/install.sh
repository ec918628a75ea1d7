#!/usr/bin/env bash
# The other mail servers that bench/relay.py compares with, for Debian; run as root.
#
#   bench/peers/install.sh [FOLDER]     default: $PENSTOCK_PEERS, else bench/out/peers
#
# What it does to the system: installs the packages postfix and opendkim and the libraries that the
# others need; adds the users Debian-exim, opensmtpd and opensmtpq; makes the empty folders
# /etc/exim4, /var/spool/smtpd and /var/lib/opensmtpd/empty. Exim and OpenSMTPD conflict with Postfix
# as packages, so theirs are unpacked in FOLDER and not installed. Haraka comes into FOLDER by npm,
# if there is one. Nothing is started; whatever is there already is left alone.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin" DEBIAN_FRONTEND=noninteractive
here="$(cd "$(dirname "$0")" && pwd)"
folder="${1:-${PENSTOCK_PEERS:-$here/../out/peers}}"
haraka_version=3.3.4

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "peers: run this as root on Debian" >&2
  exit 1
fi
mkdir -p "$folder"
folder="$(cd "$folder" && pwd)"

# Packages may not start daemons while we install; an administrator's own policy is left alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi

libraries() { # of packages that are unpacked only
  apt-cache depends "$@" | awk '/^ +Depends: lib/ {print $2}' | sort -u
}

unpack() { # FOLDER PACKAGE...
  local into="$folder/$1" fetched
  shift
  fetched="$(mktemp -d)"
  chmod 755 "$fetched"
  (cd "$fetched" && apt-get download -qq -o APT::Sandbox::User=root "$@" >/dev/null)
  mkdir -p "$into"
  for package in "$fetched"/*.deb; do dpkg -x "$package" "$into"; done
  rm -r "$fetched"
}

user() { # NAME HOME
  getent passwd "$1" >/dev/null ||
    useradd --system --user-group --home-dir "$2" --no-create-home --shell /usr/sbin/nologin "$1"
}

echo "peers: packages and libraries"
apt-get update -qq
if command -v debconf-set-selections >/dev/null; then
  debconf-set-selections <<<"postfix postfix/main_mailer_type select No configuration"
fi
peers=(exim4-daemon-light opensmtpd opensmtpd-filter-dkimsign)
# shellcheck disable=SC2046  # a list of packages
apt-get install -y -qq --no-install-recommends postfix opendkim $(libraries "${peers[@]}") >/dev/null

if [ ! -x "$folder/exim/usr/sbin/exim4" ]; then
  echo "peers: Exim into $folder/exim"
  unpack exim exim4-daemon-light exim4-base
fi
user Debian-exim /nonexistent
mkdir -p /etc/exim4

if [ ! -x "$folder/opensmtpd/usr/sbin/smtpd" ]; then
  echo "peers: OpenSMTPD into $folder/opensmtpd"
  unpack opensmtpd opensmtpd opensmtpd-filter-dkimsign
fi
user opensmtpd /var/lib/opensmtpd/empty
user opensmtpq /var/lib/opensmtpd/empty
mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd
chmod 755 /var/lib/opensmtpd/empty

if ! command -v npm >/dev/null; then
  echo "peers: no npm, so no Haraka"
elif [ ! -e "$folder/haraka/node_modules/Haraka/bin/haraka" ]; then
  echo "peers: Haraka $haraka_version into $folder/haraka"
  mkdir -p "$folder/haraka"
  cat >"$folder/haraka/package.json" <<'JSON'
{"name": "haraka-peer", "version": "1.0.0", "private": true,
 "overrides": {"encoding-japanese": "2.2.0", "libqp": "2.1.1"}}
JSON
  (cd "$folder/haraka" && npm install --no-audit --no-fund --loglevel=error "Haraka@$haraka_version" >/dev/null)
fi
echo "peers: ready in $folder"
