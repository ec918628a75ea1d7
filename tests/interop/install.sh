#!/usr/bin/env bash
# What the tests against other people's mail software need, from Debian's own packages. Run as root;
# does nothing where all of it is there. No packaged service is started: the tests start their own.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

# No Debian package has it: in a Python of its own, so that it changes nothing of ours.
if ! command -v parsedmarc >/dev/null && [ "$(id -u)" = 0 ]; then
  "${PYTHON:-python3}" -m venv /opt/parsedmarc
  /opt/parsedmarc/bin/pip install --quiet --disable-pip-version-check "parsedmarc>=9"
  ln -sf /opt/parsedmarc/bin/parsedmarc /usr/local/bin/parsedmarc
fi

missing=()
want() { command -v "$1" >/dev/null || missing+=("$2"); }
want postfix postfix
want smtp-source postfix
want swaks swaks
want opendkim opendkim
want opendkim-testmsg opendkim-tools
want systemd-analyze systemd
want nats-server nats-server
want chromium chromium
want chromedriver chromium-driver
want unbound unbound
want ip iproute2
perl -MNet::SSLeay -e 1 2>/dev/null || missing+=(libnet-ssleay-perl)
if [ "${#missing[@]}" = 0 ]; then
  echo "interop: everything is installed"
  exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "interop: missing: ${missing[*]} (install them, or run this as root on Debian)" >&2
  exit 1
fi

# Packages may not start daemons while we install; an administrator's own policy is left alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
if command -v debconf-set-selections >/dev/null; then
  debconf-set-selections <<<"postfix postfix/main_mailer_type select No configuration"
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
echo "interop: installed ${missing[*]}"
