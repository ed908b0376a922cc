/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_RUN_H
#define QO_APP_RUN_H

#include "comm.h"
#include "kernels.h"
#include "options.h"
#include "timer.h"

/*
 * Collective. QO_CONFIG unless all ranks read the same --config: a file system may show nodes
 * different versions of it, and ranks with different plans would wait for each other for ever.
 */
QO_MUST_USE enum status run_check_options(const struct options *options, const struct comm *comm);

/*
 * Collective. The main job: each vector of the source is measured, solved, encoded and written;
 * results are reported. The same status on every rank, its text in status_text().
 */
QO_MUST_USE enum status run_quantize(const struct options *options, struct comm *comm,
                                     struct timer *timer, int argc, char **argv);

/*
 * Collective. --selftest: quantizers of drawn vectors are held against the literature's figures, in
 * a table on stdout. QO_INTERNAL if one is off. The same status on every rank.
 */
QO_MUST_USE enum status run_selftest(const struct options *options, struct comm *comm,
                                     struct timer *timer);

/* Collective. --restore: a result file back into vectors. The same status on every rank. */
QO_MUST_USE enum status run_restore(const struct options *options, struct comm *comm);

#endif
