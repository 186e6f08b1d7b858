/* What the files of this extension share. */
#ifndef PYCUDA_GUARD_HOSTFAULT_H
#define PYCUDA_GUARD_HOSTFAULT_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

/* -- chain.c: the handlers of SIGSEGV, one behind the other ------------------------------------------------- */

/* Put `ours` in front of whoever handles SIGSEGV now; 0, or what errno says. */
int chain_arm(const struct sigaction *ours);

/* Step back, where nobody has come in front of `ours`. */
void chain_disarm(const struct sigaction *ours);

/* Give a signal to the handler behind ours; to the one behind that, if that is who calls us. */
void chain_pass_on(int signal, siginfo_t *info, void *context);

/* -- pages.c: pages that the host is not to touch ----------------------------------------------------------- */

#define HOLDS ((size_t)4096)

enum lift {
    LIFT_NONE,  /* the address is on no page of ours */
    LIFT_AGAIN, /* another thread has just lifted its protection: the instruction works now */
    LIFT_DONE,
};

/* Protect [first, first + nbytes), whole pages, from writes or, with `whole`, from reads too. Holds nest: a page
 * has the strictest protection of those that it is in. */
void pages_hold(size_t slot, uint64_t first, uint64_t nbytes, int whole);

/* End a hold. */
void pages_drop(size_t slot);

/* End all holds. */
void pages_drop_all(void);

/* Protect again what was lifted and not dropped since. */
void pages_renew(void);

/* Lift the protection of all holds that an address is in. Called by the signal handler. */
enum lift pages_lift(uint64_t address);

#endif
