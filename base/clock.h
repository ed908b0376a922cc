/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_BASE_CLOCK_H
#define QO_BASE_CLOCK_H

/* Local. Seconds since some moment, on a clock that never jumps: for differences only. */
double clock_seconds(void);

#endif
