# roost: `make run` for a demo, `make check test` before a commit.
GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 60s
# The race detector needs cgo, and so a C compiler; the binary itself never does.
# Slow under the race detector, where disktest.Stride thins them out, and hardly
# concurrent: run whole without it.
EXHAUSTIVE := Every|Blocks|Bulk|Parts|Model|Cursor|Crash|TreeFaults|IdleStack
CC_FOUND := $(shell command -v $${CC:-cc} 2>/dev/null || command -v gcc 2>/dev/null)

.PHONY: build run test check fuzz migrate-test bench scale compare versus clean rfc crash crash-long interop

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o roost .

run: build
	CGO_ENABLED=0 $(GO) run ./tools/demo -roost ./roost -home demo

test:
ifneq ($(CC_FOUND),)
	CGO_ENABLED=1 $(GO) test -race -shuffle=on ./...
	CGO_ENABLED=0 $(GO) test -shuffle=on -run '$(EXHAUSTIVE)' ./index ./mailbox ./server
else
	@echo "No C compiler found: testing without the race detector (install gcc for it)."
	CGO_ENABLED=0 $(GO) test -shuffle=on ./...
endif

check:
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not gofmt-ed:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	GOARCH=386 CGO_ENABLED=0 $(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test -run 'TestImportMap|TestExampleConfig' . ./config
	@timeout 120 $(GO) tool govulncheck ./... > .govulncheck.log 2>&1; code=$$?; \
	if [ $$code -eq 0 ]; then echo "govulncheck: nothing found"; \
	elif grep -q '^Vulnerability #' .govulncheck.log; then cat .govulncheck.log; exit 1; \
	else echo "govulncheck: not run, its database cannot be reached"; fi; rm -f .govulncheck.log

# Every fuzz target for FUZZTIME each.
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg; \
	  done; done

# Moves a Maildir from the real Dovecot and Courier to roost and back; root, Debian.
# Packages that are missing are installed; Courier is only unpacked.
MIGRATE_DIR ?= /tmp/roost-migrate-test
migrate-test: build
	imapd=$$(tools/migrate-test/setup.sh $(MIGRATE_DIR)) && \
	$(GO) run ./tools/migrate-test -roost ./roost -courier "$$imapd"

# Kill it, cut its power, fill its disk: docs/durability.md. A few minutes;
# crash-long takes HOURS. Some of it needs root, and is skipped without.
CRASH ?=
HOURS ?= 8
crash: build
	$(GO) run ./tools/crash -roost ./roost $(CRASH)
	$(GO) test ./session -timeout 20m -run TestDamage -damage.all

# The real NeoMutt, notmuch and mbsync on one Maildir, half a minute; part of
# crash too, where they are installed. Installs what is missing (root, Debian).
interop: build
	tools/crash/setup.sh
	$(GO) run ./tools/crash -roost ./roost -only F18

crash-long: build
	$(GO) run ./tools/crash -roost ./roost -hours $(HOURS)
	$(GO) test ./mailbox -run TestFaults -fault.all
	$(GO) test ./mailbox -timeout 1h -run TestPowerLoss -power.ops 200 -power.every 1 -power.subsets 64 -power.seed $$(date +%s)

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# Asks roost and Dovecot (installed if we are root) the same questions.
compare: build
	CGO_ENABLED=0 $(GO) run ./tools/compare -roost ./roost

# Measures roost side by side with Dovecot (installed if we are root), a quarter
# of an hour. VERSUS: -quick, -only REGEXP, -rounds N, -json FILE.
VERSUS ?=
versus: build
	CGO_ENABLED=0 $(GO) run ./tools/versus -roost ./roost $(VERSUS)

# docs/compliance.md from the marks in the code.
rfc:
	$(GO) run ./tools/rfc

# A million messages, ten thousand mailboxes, two thousand users; needs about
# 1 GB in $$TMPDIR and two minutes.
scale:
	CGO_ENABLED=0 $(GO) run ./tools/scale

clean:
	rm -rf roost demo .govulncheck.log
