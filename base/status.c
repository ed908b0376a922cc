/* SPDX-License-Identifier: Apache-2.0 */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>

/* The longest message names a path (PATH_MAX 4096), a dataset and an index, and says what to do. A
 * thread has its own: what two raise at the same moment must not become one text. */
static _Thread_local char kept[8192];

enum status status_raise(enum status code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(kept, sizeof kept, format, arguments);
    va_end(arguments);
    return code;
}

const char *status_text(void)
{
    return kept;
}

void status_clear(void)
{
    kept[0] = '\0';
}
