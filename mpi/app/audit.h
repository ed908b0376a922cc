/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QO_APP_AUDIT_H
#define QO_APP_AUDIT_H

#include "codebook.h"
#include "comm.h"
#include "status.h"

struct options;

/* So many fixed codebooks may be asked for at once; with every width of every other approach they
 * are as many results as a vector can have in the file. */
#define AUDIT_MOST 32

/* Of the name of an approach, its zero included. */
#define AUDIT_NAME_BYTES 64

/* A fixed codebook that is to be scored: an approach of its own. */
struct audit {
    char *word;                  /* as it is asked for: "nf4", "max16", "fixed:FILE" */
    char name[AUDIT_NAME_BYTES]; /* of its results: "nf4", "max16", "fixed-STEM" */
    struct codebook book;        /* k = 0: audit_load is still to read the file */
};

/* Pure. The file in the word of an audit; NULL if there is none. */
const char *audit_file(const struct audit *audit);

/* Collective. Rank 0 reads the files of codebooks, and all get them. The same status on every rank;
 * see codebook_file.h. */
QO_MUST_USE enum status audit_load(struct options *options, const struct comm *comm);

#endif
