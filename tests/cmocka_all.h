/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_TESTS_CMOCKA_ALL_H
#define QO_TESTS_CMOCKA_ALL_H

/* cmocka.h needs these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#endif
