#!/bin/sh
# Makes ./configure from a git checkout.
cd "$(dirname "$0")" && mkdir -p m4 && exec autoreconf --install
