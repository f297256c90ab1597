"""Tests of beacon_trace; run by scripts/test-emitter.sh from the folder above."""
