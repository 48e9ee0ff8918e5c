#!/bin/sh
# System packages that tests want. Installed where that is allowed; named where it is not, and the tests that need
# them are then skipped with a reason.
set -u
# program:package
WANTED="chromium:chromium dcmdump:dcmtk Orthanc:orthanc strace:strace go:golang-go"
GO_MOD=/usr/share/gocode/src/golang.org/x/mod/sumdb/note

missing() {
  for pair in $WANTED; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || printf '%s ' "${pair##*:}"
  done
  [ -d "$GO_MOD" ] || printf '%s ' golang-golang-x-mod-dev
}

[ -z "$(missing)" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  apt-get update -qq
  # shellcheck disable=SC2046
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(missing) >/dev/null
fi
left=$(missing)
[ -z "$left" ] || echo "Not installed: $left(apt-get install $left). Tests that need them will be skipped."
exit 0
