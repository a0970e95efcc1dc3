# farswap: make without a target lists them. scripts/packages names what they need.
SHELL := /bin/bash
build := $(CURDIR)/.build
KERNEL ?=
STALLS ?=
stalls := $(if $(STALLS),-stalls)
NODES ?= 1
DESTDIR ?=
running := /lib/modules/$(shell uname -r)
units := /usr/lib/systemd/system

help:
	@echo 'make all         build everything into .build'
	@echo 'make daemon      farswapd and farswap'
	@echo 'make kmod        farswap.ko for the kernels that are booted; KERNEL=6.1 for that one'
	@echo 'make demo        three donors and a client in virtual machines, redis on far memory'
	@echo 'make test        every test; as root, installs the packages that it needs'
	@echo 'make test-long   the tests that take long'
	@echo 'make chaos       faults at random under load: MINUTES=10, SEED=1, KERNEL=6.1, STALLS=1'
	@echo 'make test-debug  the tests for a kernel with KASAN, lockdep and kmemleak'
	@echo 'make bench       what swap costs on farswap and on what is used today, as ratios within one run: KERNEL=6.1'
	@echo 'make bench-quick the same without fio, redis and sort, in less than 10 minutes'
	@echo 'make bench-path  what the data path does, as ratios within one run: KERNEL=6.1'
	@echo 'make cost        instructions that the core spends on a page'
	@echo 'make sim         placement, eviction and rebalancing of 10,000 simulated nodes'
	@echo 'make vm          one test: TEST=name, KERNEL=6.1, STALLS=1'
	@echo 'make vm-shell    a shell in a guest with everything built: KERNEL=6.1, NODES=1'
	@echo 'make install     the two that follow; DESTDIR='
	@echo 'make install-user    farswapd, farswap and their systemd units'
	@echo 'make install-module  farswap.ko for the running kernel, whose headers it needs'
	@echo 'make clean       remove .build (not the cache)'

all: daemon kmod guest

packages:
	@scripts/install-packages

daemon:
	$(MAKE) -C daemon O=$(build)/daemon$(stalls) STALLS=$(STALLS)

kmod: | packages
	@set -e; for k in $(or $(KERNEL),$$(. scripts/common.sh; kernels booted)); do \
		scripts/build-kmod $$k; done

guest:
	$(MAKE) -C tests/vm/guest O=$(build)/guest

$(build)/vm/%: tests/vm/%.c tests/vm/frame.h
	mkdir -p $(@D)
	$(CC) -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -o $@ $<

# what tests/vm/payload packs, and what runs on the host beside it
user: daemon guest $(addprefix $(build)/vm/,tell wire chaos-plan monitor)

test: packages
	tests/run

test-long: packages
	tests/run --long

chaos: packages
	@export CHAOS_SEED=$(or $(SEED),$$RANDOM) CHAOS_SECONDS=$$(($(or $(MINUTES),10) * 60)); \
		LIMIT=$$((CHAOS_SECONDS * 4 + 600)) VERBOSE=1 tests/vm/session $(or $(KERNEL),6.1) tests/vm/chaos-long.test

test-debug: packages
	@scripts/install-packages debug
	tests/run --debug

demo: packages
	scripts/demo

bench bench-quick: packages
	@scripts/install-packages bench
	@bench/peers $(if $(filter bench,$@),full,quick) $(KERNEL)

cost: packages
	@bench/cost/run

bench-path: packages
	@bench/path $(KERNEL)

sim:
	@$(MAKE) -s --no-print-directory -C bench/sim O=$(build)/sim
	@mkdir -p $(build)/bench
	@$(build)/sim/sim $(build)/bench
	@awk -f bench/use.awk $(build)/bench/use > $(build)/bench/use.svg

vm: packages
	@$(if $(TEST),,echo 'make vm: which? TEST=name, one of' tests/vm/*.test; exit 1)
	@VERBOSE=1 tests/vm/session \
		$(or $(KERNEL),$$(tests/vm/header tests/vm/$(TEST).test kernels 6.1 | cut -d' ' -f1)) \
		tests/vm/$(TEST).test

vm-shell: packages
	@tests/vm/shell $(or $(KERNEL),6.1) $(NODES)

# the module first: without headers nothing is installed
install: install-module install-user

install-user: daemon
	install -D -t $(DESTDIR)/usr/sbin $(addprefix $(build)/daemon$(stalls)/,farswapd farswap)
	install -D -m 644 -t $(DESTDIR)$(units) daemon/systemd/*.service
	install -D -m 644 -t $(DESTDIR)$(units)/dev-farswap0.swap.d daemon/systemd/dev-farswap0.swap.d/*.conf
	$(if $(DESTDIR),,[ ! -d /run/systemd/system ] || systemctl daemon-reload)

install-module:
	@[ -d $(running)/build ] || { \
		echo 'make install-module: $(running)/build is missing: install linux-headers-'$$(uname -r); exit 1; }
	mkdir -p $(build)/kmod/running
	cp -a kmod include $(build)/kmod/running
	$(MAKE) -C $(running)/build M=$(build)/kmod/running/kmod modules
	install -D -m 644 $(build)/kmod/running/kmod/farswap.ko $(DESTDIR)$(running)/updates/farswap.ko
	$(if $(DESTDIR),,depmod)

clean:
	rm -rf .build

.PHONY: help all packages daemon kmod guest user test test-long chaos test-debug demo bench bench-quick bench-path cost sim vm vm-shell install install-user install-module clean
