# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# debian.sh: packages of Debian for any architecture, without installing them. It is sourced by scripts that have set folder,
# below which apt gets a state of its own, so nothing of this host changes, and no right of root is needed.

# Security updates come, and newest moves on: what is a week old is looked for again.
fresh() { [ -n "$(find "$1" -mtime -7 2>/dev/null)" ]; }

# apt for one architecture: apt_for ARCH, then "${apt[@]}" with the names of its programs.
apt_for() {
  local state=$folder/apt-$1 archive
  options=(-qq -o "Dir::State=$state" -o "Dir::State::status=$state/status" -o "Dir::Cache=$state/cache"
    -o "Dir::Etc::SourceList=$state/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Acquire::Languages=none
    -o "APT::Architecture=$1" -o "APT::Architectures::=$1" -o APT::Sandbox::User=root)
  if fresh "$state/updated"; then return; fi
  mkdir -p "$state"/{lists,cache}/partial
  : >"$state/status"
  archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' | grep -v security | sort -u | head -1)
  for suite in bullseye bookworm trixie trixie-backports; do echo "deb $archive $suite main"; done >"$state/sources.list"
  apt-get "${options[@]}" update >&2
  touch "$state/updated"
}

unpack() { # package into
  local at
  at=$(mktemp -d -p "$folder")
  (cd "$at" && apt-get "${options[@]}" download "$1" >/dev/null && dpkg-deb -x ./*.deb "$2")
  rm -rf "$at"
}
