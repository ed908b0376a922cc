/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_DIST_COMM_MPI_H
#define QO_DIST_COMM_MPI_H

#include <mpi.h>

#include "comm.h"

/* Pure. The communicator of all ranks of a comm: for dist/ and for the MPI-IO files of io/. */
static inline MPI_Comm comm_mpi(const struct comm *comm)
{
    (void)comm; /* one program, one world */
    return MPI_COMM_WORLD;
}

#endif
