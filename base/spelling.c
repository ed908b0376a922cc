/* SPDX-License-Identifier: Apache-2.0 */
#include "spelling.h"

#include <stdbool.h>
#include <string.h>

/* No name of an option or value is half as long; of a longer text the beginning is compared. */
#define MAX_LENGTH 63

static int smallest(int a, int b, int c)
{
    int least = a < b ? a : b;
    return least < c ? least : c;
}

/* Levenshtein's distance, a row of the table at a time: a row is all that the next one needs, and
 * it fits the stack. */
static int distance(const char *text, const char *word)
{
    int row[MAX_LENGTH + 1];
    int length = (int)strnlen(text, MAX_LENGTH);
    for (int i = 0; i <= length; i++)
        row[i] = i;
    for (int j = 1; word[j - 1] != '\0'; j++) {
        int diagonal = row[0];
        row[0] = j;
        for (int i = 1; i <= length; i++) {
            int substituted = diagonal + (text[i - 1] != word[j - 1]);
            diagonal = row[i];
            row[i] = smallest(row[i] + 1, row[i - 1] + 1, substituted);
        }
    }
    return row[length];
}

/* People know how a name begins: of equally near ones that is the best hint. */
static int shared_beginning(const char *a, const char *b)
{
    int length = 0;
    while (a[length] != '\0' && a[length] == b[length])
        length++;
    return length;
}

const char *spelling_nearest(const char *text, const char *const words[], int num_words)
{
    const char *best = NULL;
    int best_distance = 0, best_shared = 0;
    for (int i = 0; i < num_words; i++) {
        int d = distance(text, words[i]), shared = shared_beginning(text, words[i]);
        if (shared > 0 && text[shared] == '\0') /* as --thresh: no edit more than one */
            d = d < 1 ? d : 1;
        if (best && (d > best_distance || (d == best_distance && shared <= best_shared)))
            continue;
        best = words[i];
        best_distance = d;
        best_shared = shared;
    }
    return best;
}

/* The bytes of the character that starts with `first`; 0 if none does. */
static int character_bytes(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4) /* 0xc0 and 0xc1 could only start overlong forms */
        return 0;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* No table of the characters that fonts have: only what breaks a line or a YAML text counts. */
static bool is_printable(uint32_t code)
{
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) /* C0, DEL, C1 */
        return false;
    if (code == 0x2028 || code == 0x2029 || code == 0xfeff) /* separators, byte order mark */
        return false;
    if (code >= 0xd800 && code < 0xe000) /* halves of UTF-16 pairs */
        return false;
    return (code & 0xfffe) != 0xfffe && code <= 0x10ffff;
}

/*
 * Decodes one character; 0, which is not printable, if the bytes are not UTF-8. Overlong forms are
 * refused with the rest: the YAML reader of a saved run would refuse them later.
 */
static uint32_t decode(const unsigned char *byte, int bytes)
{
    static const uint32_t smallest_of[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (bytes == 1)
        return byte[0];
    uint32_t code = byte[0] & (0x7fu >> bytes);
    for (int i = 1; i < bytes; i++) {
        if ((byte[i] & 0xc0) != 0x80) /* the end of the text stops here too */
            return 0;
        code = code << 6 | (byte[i] & 0x3f);
    }
    return code < smallest_of[bytes] ? 0 : code;
}

int64_t spelling_unprintable(const char *text)
{
    const unsigned char *byte = (const unsigned char *)text;
    int64_t at = 0;
    while (byte[at] != '\0') {
        int bytes = character_bytes(byte[at]);
        if (bytes == 0 || !is_printable(decode(byte + at, bytes)))
            return at;
        at += bytes;
    }
    return -1;
}
