/* SPDX-License-Identifier: Apache-2.0 */
#include "audit.h"

#include <string.h>

#include "codebook_file.h"
#include "options.h"

const char *audit_file(const struct audit *audit)
{
    const char *colon = strchr(audit->word, ':'); /* no other word has one */
    return colon ? colon + 1 : NULL;
}

enum status audit_load(struct options *options, const struct comm *comm)
{
    enum status status = QO_OK;
    for (int i = 0; i < options->num_audits; i++) {
        struct audit *audit = &options->audits[i];
        if (!audit_file(audit))
            continue;
        if (comm->rank == 0)
            status = codebook_file_read(audit_file(audit), &audit->book);
        QO_TRY(comm_agree(comm, status));
        comm_broadcast(comm, &audit->book, sizeof audit->book);
    }
done:
    return status;
}
