/* SPDX-License-Identifier: Apache-2.0 */
/* quantopt_man DATE: writes the man page of quantopt_mpi to standard output. For the build. */
#include <stdio.h>

#include "manual.h"

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("quantopt_man: give the date of the page, YYYY-MM-DD\n", stderr);
        return QO_USAGE;
    }
    manual_print(stdout, argv[1]);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fputs("quantopt_man: standard output: could not be written; free some space\n", stderr);
        return QO_IO;
    }
    return QO_OK;
}
