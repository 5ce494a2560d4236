TESTS += tests/protocol/run
EXTRA_DIST += tests/protocol/README tests/protocol/levels3fs.pml tests/protocol/run
