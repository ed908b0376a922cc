/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The memory a rank may use, where the user does not say.
 *
 * Whoever passes the limit of a control group is killed without a message, so all limits that could
 * be in force are looked up, and the smallest counts. A tenth stays free: for the program itself,
 * MPI's and HDF5's buffers, and what the kernel keeps of files that are being written.
 */
#include "memory_limit.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "reduce.h"

/* Of a path, and of a line of /proc/self/cgroup: PATH_MAX. */
#define MAX_PATH 4096

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* a * b, or INT64_MAX where that is more. */
static int64_t times(int64_t a, int64_t b)
{
    int64_t product;
    return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

static int64_t nine_tenths(int64_t x)
{
    return x == INT64_MAX ? x : x - x / 10;
}

/* A whole number in front of the end of the text or a blank; what is too large is INT64_MAX, and
 * what is no number, as "max", -1. */
static int64_t read_number(const char *text)
{
    int64_t x = 0;
    if (!isdigit((unsigned char)*text))
        return -1;
    for (; isdigit((unsigned char)*text); text++)
        x = times(x, 10) > INT64_MAX - 9 ? INT64_MAX : x * 10 + (*text - '0');
    return *text == '\0' || isspace((unsigned char)*text) ? x : -1;
}

/* The number in the first line of a file, or -1. */
static int64_t read_file(const char *path)
{
    char line[64];
    FILE *file = fopen(path, "re");
    int64_t x = file && fgets(line, sizeof line, file) ? read_number(line) : -1;
    if (file)
        fclose(file);
    return x;
}

/* A variable of Slurm's that counts something; -1: not set, or nonsense. */
static int64_t read_variable(const char *name)
{
    const char *text = getenv(name);
    return text ? read_number(text) : -1;
}

/* What the job may use on this node. Slurm sets one of the two, as the user asked for memory. */
static int64_t granted_by_slurm(void)
{
    const int64_t mib = (int64_t)1 << 20;
    int64_t limit = INT64_MAX, per_node = read_variable("SLURM_MEM_PER_NODE");
    int64_t per_cpu = read_variable("SLURM_MEM_PER_CPU"),
            cpus = read_variable("SLURM_CPUS_ON_NODE");
    if (per_node > 0) /* --mem=0 asks for all there is */
        limit = times(per_node, mib);
    if (per_cpu > 0 && cpus > 0)
        limit = smaller(limit, times(times(per_cpu, cpus), mib));
    return limit;
}

/*
 * The smallest limit of a group and of those above it, up to the mount itself: in a container the
 * path may be one of the host, of which nothing but the mount exists here. `mount` is overwritten.
 */
static int64_t granted_by_groups(char mount[MAX_PATH], const char *group, const char *name)
{
    int64_t limit = INT64_MAX;
    size_t top = strlen(mount);
    char path[MAX_PATH];
    snprintf(mount + top, MAX_PATH - top, "%s", group);
    for (char *slash = mount + strlen(mount); slash; slash = strrchr(mount + top, '/')) {
        *slash = '\0';
        int n = snprintf(path, sizeof path, "%s/%s", mount, name);
        int64_t x = n < (int)sizeof path ? read_file(path) : -1;
        limit = x >= 0 ? smaller(limit, x) : limit;
    }
    return limit;
}

/* Whether a list "cpu,memory" has the word memory. */
static bool has_memory(const char *list)
{
    for (const char *word = list; word; word = strchr(word, ',')) {
        word += *word == ',';
        if (strcmp(word, "memory") == 0 || strncmp(word, "memory,", 7) == 0)
            return true;
    }
    return false;
}

/*
 * One line of /proc/self/cgroup, "ID:CONTROLLERS:PATH". The one without controllers is v2's; its
 * mount is the folder itself, or "unified" where v1 is mounted beside it.
 */
static int64_t granted_by_line(const char *root, char *line)
{
    static const struct {
        const char *mount, *name;
        bool is_v2;
    } places[] = {
        {"/sys/fs/cgroup", "memory.max", true},
        {"/sys/fs/cgroup/unified", "memory.max", true},
        {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", false},
    };
    int64_t limit = INT64_MAX;
    char mount[MAX_PATH], *list = strchr(line, ':'), *group = list ? strchr(list + 1, ':') : NULL;
    if (!group || group[1] != '/')
        return limit;
    *group++ = '\0';
    group[strcspn(group, "\n")] = '\0';
    bool is_v2 = list[1] == '\0';
    if (!is_v2 && !has_memory(list + 1))
        return limit;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        int n = snprintf(mount, sizeof mount, "%s%s", root, places[i].mount);
        if (places[i].is_v2 == is_v2 && n < (int)sizeof mount)
            limit = smaller(limit, granted_by_groups(mount, group, places[i].name));
    }
    return limit;
}

/* The control groups of this process. */
static int64_t granted_by_all_groups(const char *root)
{
    int64_t limit = INT64_MAX;
    char line[MAX_PATH];
    snprintf(line, sizeof line, "%s/proc/self/cgroup", root);
    FILE *file = fopen(line, "re");
    while (file && fgets(line, sizeof line, file))
        limit = smaller(limit, granted_by_line(root, line));
    if (file)
        fclose(file);
    return limit;
}

/* What the kernel could give without swapping: files that it keeps count as free. */
static int64_t available(const char *root)
{
    static const char key[] = "MemAvailable:";
    int64_t limit = INT64_MAX;
    char line[MAX_PATH];
    snprintf(line, sizeof line, "%s/proc/meminfo", root);
    FILE *file = fopen(line, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, key, sizeof key - 1) == 0) {
            const char *number = line + sizeof key - 1;
            int64_t kib = read_number(number + strspn(number, " \t"));
            limit = kib >= 0 ? times(kib, 1024) : limit;
        }
    if (file)
        fclose(file);
    return limit;
}

int64_t memory_limit_find(const char *root)
{
    int64_t limit = smaller(granted_by_slurm(), granted_by_all_groups(root));
    return smaller(limit, available(root));
}

/* Addresses that this process may have: its own limit, shared with nobody. */
static int64_t own_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur > INT64_MAX)
        return INT64_MAX;
    return (int64_t)limit.rlim_cur;
}

int64_t memory_limit_of(int64_t given, const struct comm *comm)
{
    if (given > 0)
        return given;
    int64_t node = nine_tenths(memory_limit_find(""));
    int64_t share = node == INT64_MAX ? node : node / comm->node_size;
    /* The maximum of negatives: there is no minimum over ranks. */
    int64_t least = -smaller(share, nine_tenths(own_limit()));
    reduce_max(comm, &least, 1);
    return -least;
}
