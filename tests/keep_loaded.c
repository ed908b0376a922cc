/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Preloaded into sanitized tests: libraries that MPI opens stay open. LeakSanitizer can name them then,
 * so that tests/lsan.supp can tell their leaks from ours; it fails on threads of a closed library, too.
 */
int dlclose(void *handle);

int dlclose(void *handle)
{
    (void)handle;
    return 0;
}
