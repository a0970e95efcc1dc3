# farswap: make without a target lists them.
SHELL := /bin/bash
build := $(CURDIR)/.build

help:
	@echo "make all          build everything into .build: daemon, tool, modules"
	@echo "make daemon       farswapd and farswap"
	@echo "make kmod         farswap.ko; KERNEL=6.1 for one kernel of scripts/kernels"

user: $(build)/vm/tell
	$(MAKE) -C daemon O=$(build)/daemon

guest:
	$(MAKE) -C tests/vm/guest O=$(build)/guest

$(build)/vm/tell: tests/vm/tell.c tests/vm/frame.h
	mkdir -p $(@D)
	$(CC) -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -o $@ $<

.PHONY: help user guest
