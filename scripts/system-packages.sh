#!/bin/sh
# System packages that tests want. Installed where that is allowed; named where it is not, and the tests that need
# them are then skipped with a reason.
set -u
command -v chromium >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
fi
command -v chromium >/dev/null 2>&1 || echo "Not installed: chromium (apt-get install chromium). Browser tests will be skipped."
exit 0
