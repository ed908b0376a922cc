/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_BASE_NUMBER_H
#define QO_BASE_NUMBER_H

#include <stddef.h>
#include <stdint.h>

/* Numbers as users write them: the whole text must be one, and a value that does not fit is told
 * apart. */
enum number { NUMBER_OK, NUMBER_WRONG, NUMBER_BEYOND };

/* Pure. A count: digits, and K, M or G behind them for 10^3, 10^6 and 10^9. A negative one is
 * NUMBER_BEYOND: a number, but out of any range. */
enum number number_read_count(const char *text, uint64_t *x);

/* Pure. The same without a suffix: for what does not count things. */
enum number number_read_whole(const char *text, uint64_t *x);

/* Pure. Bytes: digits, and K, M, G or T behind them, with B or iB or without, for 2^10, 2^20, 2^30
 * and 2^40. */
enum number number_read_size(const char *text, uint64_t *x);

/* Pure. A finite decimal number. NUMBER_BEYOND where float64 would make it infinite, or 0 though it
 * is not. */
enum number number_read_real(const char *text, double *x);

/* Pure. Seconds: a decimal number, or MM:SS, or H:MM:SS, where minutes and seconds below the first
 * part have two digits and are below 60. */
enum number number_read_time(const char *text, double *x);

/*
 * Pure. Writes what Python's repr shows for x: the fewest digits that read back as x, without an
 * exponent from 1e-04 to below 1e+16, and with ".0" where they would look like an integer: "100.0",
 * "1e-05", "-0.0", "inf", "nan". 24 bytes and the NUL always do.
 */
void number_print_repr(double x, char *out, size_t size);

/* Pure. The same without that ".0", as users write numbers: "100". */
void number_print_real(double x, char *out, size_t size);

/* Pure. Writes bytes as number_read_size takes them, with the largest suffix that leaves a whole
 * number: "16M", "1536". */
void number_print_size(uint64_t x, char *out, size_t size);

#endif
