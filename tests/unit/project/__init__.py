"""The project itself: documentation, Makefile, wheel, benchmarks."""
