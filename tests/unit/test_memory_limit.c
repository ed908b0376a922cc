/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "memory_limit.h"

/* What a job and a node grant, from files and variables of the tests' own. */

static char root[] = "/tmp/quantopt_test_XXXXXX";
static const int64_t kib = 1024, mib = 1 << 20;

static struct comm comm;

static int enter(void **state)
{
    (void)state;
    comm_open(&comm, NULL, NULL);
    return mkdtemp(root) ? 0 : -1;
}

static int leave(void **state)
{
    char command[64];
    (void)state;
    comm_close(&comm);
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command) == 0 ? 0 : -1;
}

/* Nothing known: no files, no variables. */
static int forget(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s/*", root);
    unsetenv("SLURM_MEM_PER_NODE");
    unsetenv("SLURM_MEM_PER_CPU");
    unsetenv("SLURM_MEM_PER_GPU");
    unsetenv("SLURM_CPUS_ON_NODE");
    return system(command) == 0 ? 0 : -1;
}

/* Makes a file below the root, and the folders on the way. */
static void put(const char *path, const char *text)
{
    char full[512], command[600];
    snprintf(full, sizeof full, "%s%s", root, path);
    snprintf(command, sizeof command, "mkdir -p \"$(dirname \"%s\")\"", full);
    assert_int_equal(system(command), 0);
    FILE *file = fopen(full, "w");
    assert_true(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

#define assert_limit(bytes) assert_true(memory_limit_find(root) == (bytes))

static void test_nothing_known_taken_for_nothing_allowed(void **state)
{
    (void)state;
    assert_limit(INT64_MAX);
}

static void test_available_memory_misread(void **state)
{
    (void)state;
    put("/proc/meminfo", "MemTotal:       24684092 kB\nMemFree:        100 kB\n"
                         "MemAvailable:   2000 kB\nBuffers: 1 kB\n");
    assert_limit(2000 * kib);
    put("/proc/meminfo", "MemTotal: 24684092 kB\n"); /* before Linux 3.14 */
    assert_limit(INT64_MAX);
    put("/proc/meminfo", "MemAvailable:   -5 kB\n");
    assert_limit(INT64_MAX);
    put("/proc/meminfo", "");
    assert_limit(INT64_MAX);
}

static void test_slurm_limit_missed_or_zero_taken_for_none_allowed(void **state)
{
    (void)state;
    setenv("SLURM_MEM_PER_NODE", "4096", 1);
    assert_limit(4096 * mib);
    setenv("SLURM_MEM_PER_NODE", "0", 1);
    assert_limit(INT64_MAX);
    setenv("SLURM_MEM_PER_CPU", "100", 1);
    assert_limit(INT64_MAX); /* of an unknown number of CPUs */
    setenv("SLURM_CPUS_ON_NODE", "16", 1);
    assert_limit(1600 * mib);
    setenv("SLURM_MEM_PER_GPU", "1", 1);
    assert_limit(1600 * mib);
    setenv("SLURM_MEM_PER_NODE", "900", 1);
    assert_limit(900 * mib);
}

static void test_nonsense_in_variables_believed(void **state)
{
    (void)state;
    static const char *const nonsense[] = {"", "many", "-1", "12G", "0x10", " 7", "1.5"};
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        setenv("SLURM_MEM_PER_NODE", nonsense[i], 1);
        assert_limit(INT64_MAX);
    }
    setenv("SLURM_MEM_PER_NODE", "99999999999999999999999999", 1);
    assert_limit(INT64_MAX);
    setenv("SLURM_MEM_PER_NODE", "9223372036854775807", 1);
    assert_limit(INT64_MAX);
}

static void test_limit_of_an_ancestor_missed(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/job/step/task\n");
    put("/sys/fs/cgroup/job/step/task/memory.max", "max\n");
    put("/sys/fs/cgroup/job/step/memory.max", "7000000\n");
    put("/sys/fs/cgroup/job/memory.max", "9000000\n");
    assert_limit(7000000);
    put("/sys/fs/cgroup/job/memory.max", "5000000\n");
    assert_limit(5000000);
    put("/sys/fs/cgroup/job/step/task/memory.max", "4000000\n");
    assert_limit(4000000);
    put("/sys/fs/cgroup/other/memory.max", "1\n");
    assert_limit(4000000);
    put("/sys/fs/cgroup/memory.max", "3000000\n"); /* the root of a container's name space */
    assert_limit(3000000);
}

static void test_max_taken_for_a_number(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/memory.max", "max\n");
    assert_limit(INT64_MAX);
    put("/sys/fs/cgroup/memory.max", "0\n");
    assert_limit(0);
    put("/sys/fs/cgroup/memory.max", "12 apples\n"); /* a number, and more that is not ours */
    assert_limit(12);
    put("/sys/fs/cgroup/memory.max", "twelve\n");
    assert_limit(INT64_MAX);
    put("/sys/fs/cgroup/memory.max", "");
    assert_limit(INT64_MAX);
}

static void test_first_version_of_control_groups_missed(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "9:name=systemd:/a\n8:cpu,cpuacct:/b\n4:hugetlb,memory,pids:/c/d\n");
    put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1\n");
    put("/sys/fs/cgroup/memory/b/memory.limit_in_bytes", "2\n");
    put("/sys/fs/cgroup/memory/c/d/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/c/memory.limit_in_bytes", "8000000\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_limit(8000000);
    put("/proc/self/cgroup", "4:memoryless,cpu:/c\n");
    assert_limit(INT64_MAX);
}

static void test_both_versions_side_by_side(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "4:memory:/old\n0::/new/sub\n");
    put("/sys/fs/cgroup/memory/old/memory.limit_in_bytes", "6000000\n");
    assert_limit(6000000);
    put("/sys/fs/cgroup/unified/new/memory.max", "5000000\n");
    assert_limit(5000000);
    put("/sys/fs/cgroup/unified/new/memory.max", "max\n");
    assert_limit(6000000);
}

static void test_path_of_the_host_inside_a_container(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "4:memory:/docker/0123456789abcdef\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "3000000\n");
    assert_limit(3000000);
}

static void test_nonsense_in_the_list_of_groups(void **state)
{
    (void)state;
    char deep[9000];
    put("/sys/fs/cgroup/memory.max", "77\n");
    put("/proc/self/cgroup", "\n:\n::\n0:\n0::\nmemory\n4:memory\n0::relative\n:::::\n");
    assert_limit(INT64_MAX);
    memset(deep, 'a', sizeof deep);
    for (size_t i = 4; i < sizeof deep; i += 2)
        deep[i] = '/';
    memcpy(deep, "0::/", 4);
    deep[sizeof deep - 1] = '\0';
    put("/proc/self/cgroup", deep); /* longer than any path: no crash, and the mount's own limit */
    assert_limit(77);
}

static void test_smallest_of_all_not_taken(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/job\n");
    put("/sys/fs/cgroup/job/memory.max", "5368709120\n");
    put("/proc/meminfo", "MemAvailable: 6291456 kB\n");
    setenv("SLURM_MEM_PER_NODE", "7168", 1);
    assert_limit(5120 * mib);
    put("/proc/meminfo", "MemAvailable: 4194304 kB\n");
    assert_limit(4096 * mib);
    setenv("SLURM_MEM_PER_NODE", "3072", 1);
    assert_limit(3072 * mib);
}

static void test_share_of_a_rank_wrong(void **state)
{
    (void)state;
    assert_int_equal(memory_limit_of(12345, &comm), 12345);
    setenv("SLURM_MEM_PER_NODE", "40", 1); /* less than this machine can have left */
    assert_int_equal(memory_limit_of(0, &comm), 36 * mib);
    struct comm shared = comm;
    shared.node_size = 4;
    assert_int_equal(memory_limit_of(0, &shared), 9 * mib);
    unsetenv("SLURM_MEM_PER_NODE");
}

/* Bytes of addresses in use; a sanitizer takes terabytes. */
static int64_t addresses_in_use(void)
{
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_true(file && fscanf(file, "%lld", &pages) == 1);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static void test_limit_of_the_process_missed_or_shared(void **state)
{
    (void)state;
    struct rlimit old, mine;
    const int64_t limit = (int64_t)8 << 30, most = limit - limit / 10;
    if (addresses_in_use() > most)
        skip();
    int64_t without = memory_limit_of(0, &comm);
    assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
    mine = old;
    mine.rlim_cur = (rlim_t)limit;
    assert_int_equal(setrlimit(RLIMIT_AS, &mine), 0);
    int64_t with = memory_limit_of(0, &comm);
    assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
    /* Memory comes and goes meanwhile, so only a limit that is in force is exact. */
    if (without > most + most / 4)
        assert_int_equal(with, most);
    else
        assert_true(with <= most);
}

#define TEST(name) cmocka_unit_test_setup(name, forget)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_known_taken_for_nothing_allowed),
        TEST(test_available_memory_misread),
        TEST(test_slurm_limit_missed_or_zero_taken_for_none_allowed),
        TEST(test_nonsense_in_variables_believed),
        TEST(test_limit_of_an_ancestor_missed),
        TEST(test_max_taken_for_a_number),
        TEST(test_first_version_of_control_groups_missed),
        TEST(test_both_versions_side_by_side),
        TEST(test_path_of_the_host_inside_a_container),
        TEST(test_nonsense_in_the_list_of_groups),
        TEST(test_smallest_of_all_not_taken),
        TEST(test_share_of_a_rank_wrong),
        TEST(test_limit_of_the_process_missed_or_shared),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
