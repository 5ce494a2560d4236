# cli: nothing of its own yet that check(1) can ask; tests/mount has the verbs.
