/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "fault.h"
#include "input_file.h"
#include "log.h"
#include "memory.h"
#include "publish.h"

/*
 * Written through a buffer, as a run writes it where memory may be scarce; read in one piece, at
 * the start of a run, so that its digest is known before a word of it is believed.
 */

/* Without the zero at its end it and the version make three words. */
#define MAGIC          "quantopt checkpoint\n"
#define FORMAT_VERSION 1

/* Magic and version, and four sizes; of each record the four words before its own; the digest. */
enum { MAGIC_WORDS = 3, HEADER_WORDS = 7, RECORD_WORDS = 4, DIGEST_WORDS = 1 };

/* A write of this size reaches the full speed of disks and parallel file systems. */
#define BUFFER_BYTES ((size_t)1 << 20)

#define REMEDY "run without --resume to start anew"

/* Pure. The words that so many bytes fill. */
static int64_t words_of(int64_t bytes)
{
    return bytes / 8 + (bytes % 8 != 0);
}

/* The failure of a call on `path`, from errno. */
static enum status raise_errno(const char *path, const char *what)
{
    bool is_full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
    return status_raise(QO_IO, "%s: %s: %s; %s", path, what, strerror(errno),
                        is_full ? "free space" : "see to its folder and its permissions");
}

/* ---- Writing ---- */

/* What is written: nothing more once a call has failed, so that only the end need ask. */
struct writer {
    const char *path;
    int fd;
    unsigned char *buffer; /* [BUFFER_BYTES] */
    size_t used;
    XXH3_state_t *digest; /* of what has left the buffer */
    enum status status;
};

/* Empties the buffer into the file. A signal, as the one that stops a run, is no failure. */
static void writer_flush(struct writer *writer)
{
    XXH3_64bits_update(writer->digest, writer->buffer, writer->used);
    for (size_t at = 0; at < writer->used && writer->status == QO_OK;) {
        bool fault = fault_here();
        if (fault)
            errno = ENOSPC;
        ssize_t n = fault ? -1 : write(writer->fd, writer->buffer + at, writer->used - at);
        if (n >= 0)
            at += (size_t)n;
        else if (errno != EINTR)
            writer->status = raise_errno(writer->path, "cannot be written");
    }
    writer->used = 0;
}

/* Adds bytes that fill whole words. */
static void put_bytes(struct writer *writer, const void *bytes, size_t n)
{
    for (size_t at = 0; at < n && writer->status == QO_OK;) {
        size_t room = BUFFER_BYTES - writer->used, part = n - at < room ? n - at : room;
        memcpy(writer->buffer + writer->used, (const char *)bytes + at, part);
        writer->used += part;
        at += part;
        if (writer->used == BUFFER_BYTES)
            writer_flush(writer);
    }
}

static void put_word(struct writer *writer, int64_t word)
{
    uint64_t little = htole64((uint64_t)word);
    put_bytes(writer, &little, sizeof little);
}

/* Pure. */
static int64_t image_words(const struct checkpoint_image *image, int64_t identity_bytes)
{
    int64_t words = HEADER_WORDS + words_of(identity_bytes) + DIGEST_WORDS;
    for (int i = 0; i < image->num_records; i++)
        words += RECORD_WORDS + image->record[i].n;
    return words;
}

static void put_header(struct writer *writer, const struct checkpoint_image *image,
                       int64_t identity_bytes)
{
    uint32_t version = htole32(FORMAT_VERSION);
    put_bytes(writer, MAGIC, strlen(MAGIC));
    put_bytes(writer, &version, sizeof version);
    put_word(writer, 8 * image_words(image, identity_bytes));
    put_word(writer, image->data_inode);
    put_word(writer, identity_bytes);
    put_word(writer, image->num_records);
}

static void put_record(struct writer *writer, const struct checkpoint_record *record)
{
    assert(record->n >= 0);
    put_word(writer, record->kind);
    put_word(writer, record->vector);
    put_word(writer, record->done);
    put_word(writer, record->n);
    for (int64_t i = 0; i < record->n; i++)
        put_word(writer, record->word[i]);
}

static void put_image(struct writer *writer, const struct checkpoint_image *image)
{
    static const char zeros[8];
    const char *identity = image->identity ? image->identity : "";
    int64_t bytes = (int64_t)strlen(identity);
    put_header(writer, image, bytes);
    put_bytes(writer, identity, (size_t)bytes);
    put_bytes(writer, zeros, (size_t)(8 * words_of(bytes) - bytes));
    for (int i = 0; i < image->num_records; i++)
        put_record(writer, &image->record[i]);
    writer_flush(writer);
    put_word(writer, (int64_t)XXH3_64bits_digest(writer->digest));
    writer_flush(writer);
}

/* Makes an empty file, in place of one that a run left that was killed. */
static enum status create(struct writer *writer)
{
    bool fault = fault_here();
    if (fault)
        errno = EACCES;
    if (!fault && (unlink(writer->path) == 0 || errno == ENOENT))
        writer->fd = open(writer->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return writer->fd >= 0 ? QO_OK : raise_errno(writer->path, "cannot be created");
}

/* fsync; -1 with errno. Network file systems let signals interrupt it. */
static int sync_or_fault(int fd)
{
    int rc;
    if (fault_here()) {
        errno = EIO;
        return -1;
    }
    do
        rc = fsync(fd);
    while (rc != 0 && errno == EINTR);
    return rc;
}

/* Writes the image to a file of its own and brings it to the disk. */
static enum status write_file(const char *path, const struct checkpoint_image *image)
{
    enum status status;
    struct writer writer = {.path = path, .fd = -1};
    QO_TRY(memory_alloc("a checkpoint's buffer", BUFFER_BYTES, 1, &writer.buffer));
    writer.digest = XXH3_createState();
    QO_CHECK(writer.digest && XXH3_64bits_reset(writer.digest) == XXH_OK, QO_NO_MEMORY,
             "%s: no memory for its digest; use more ranks or nodes", path);
    QO_TRY(create(&writer));
    put_image(&writer, image);
    QO_TRY(writer.status);
    if (sync_or_fault(writer.fd) != 0)
        status = raise_errno(path, "cannot be brought to the disk");
done:
    if (writer.fd >= 0 && close(writer.fd) != 0 && status == QO_OK)
        status = raise_errno(path, "cannot be closed");
    XXH3_freeState(writer.digest);
    memory_free(writer.buffer);
    return status;
}

static int rename_or_fault(const char *from, const char *to)
{
    if (fault_here()) {
        errno = EIO;
        return -1;
    }
    return rename(from, to);
}

/* Gives the new file its name and the old one that of the one before. */
static enum status shift_names(const char *path, const char *fresh, const char *previous)
{
    bool is_kept = rename_or_fault(path, previous) == 0;
    if (!is_kept && errno != ENOENT)
        return raise_errno(path, "cannot be renamed");
    if (rename_or_fault(fresh, path) != 0) {
        enum status status = raise_errno(fresh, "cannot be renamed");
        if (is_kept) /* either name will be found: no failure if this one stays */
            (void)rename(previous, path);
        return status;
    }
    publish_sync_directory(path);
    return QO_OK;
}

enum status checkpoint_write(const char *path, const struct checkpoint_image *image)
{
    enum status status;
    char *fresh = NULL, *previous = NULL;
    QO_TRY(memory_join_texts(path, ".new", &fresh));
    QO_TRY(memory_join_texts(path, ".previous", &previous));
    QO_TRY(write_file(fresh, image));
    QO_TRY(shift_names(path, fresh, previous));
done:
    if (status != QO_OK && fresh)
        (void)unlink(fresh); /* the failure to be told is the first */
    memory_free(fresh);
    memory_free(previous);
    return status;
}

/* ---- Reading ---- */

/* What is left of the file, up to the digest. */
struct parser {
    const char *path;
    const uint64_t *word; /* [num_words] */
    int64_t num_words;
};

/* Takes the next words; the parser's path is in the message if there are not so many. */
static enum status take(struct parser *parser, int64_t n, const uint64_t **word)
{
    *word = parser->word;
    /* With a right digest the program that wrote it is at fault, or somebody's hand. */
    if (n < 0 || n > parser->num_words)
        return status_raise(QO_DATA, "%s: contradicts itself: %lld words where %lld are left",
                            parser->path, (long long)n, (long long)parser->num_words);
    parser->word += n;
    parser->num_words -= n;
    return QO_OK;
}

static enum status take_identity(struct parser *parser, int64_t bytes, char **identity)
{
    enum status status;
    const uint64_t *word;
    QO_CHECK(bytes >= 0, QO_DATA, "%s: contradicts itself: a negative size", parser->path);
    QO_TRY(take(parser, words_of(bytes), &word));
    QO_TRY(memory_alloc("a checkpoint's identity", bytes + 1, 1, identity));
    memcpy(*identity, word, (size_t)bytes);
    QO_CHECK((int64_t)strlen(*identity) == bytes && (bytes == 0 || (*identity)[bytes - 1] == '\n'),
             QO_DATA, "%s: contradicts itself: its identity is not lines of text", parser->path);
done:
    return status;
}

static enum status take_record(struct parser *parser, struct checkpoint_record *record)
{
    enum status status;
    const uint64_t *word;
    QO_TRY(take(parser, RECORD_WORDS, &word));
    int64_t n = (int64_t)le64toh(word[3]);
    record->kind = (int64_t)le64toh(word[0]);
    record->vector = (int64_t)le64toh(word[1]);
    record->done = (int64_t)le64toh(word[2]);
    QO_TRY(take(parser, n, &word));
    QO_TRY(memory_alloc_large("a checkpoint's record", n, sizeof *record->word, &record->word));
    record->n = n;
    for (int64_t i = 0; i < n; i++)
        record->word[i] = (int64_t)le64toh(word[i]);
done:
    return status;
}

/* Makes the image from a file whose size and digest are right. */
static enum status parse(struct parser *parser, struct checkpoint_image *image)
{
    enum status status;
    const uint64_t *header;
    QO_TRY(take(parser, HEADER_WORDS, &header));
    image->data_inode = (int64_t)le64toh(header[4]);
    QO_TRY(take_identity(parser, (int64_t)le64toh(header[5]), &image->identity));
    int64_t num_records = (int64_t)le64toh(header[6]);
    QO_CHECK(0 <= num_records && num_records <= parser->num_words / RECORD_WORDS &&
                 num_records <= INT_MAX,
             QO_DATA, "%s: contradicts itself: %lld records in %lld words", parser->path,
             (long long)num_records, (long long)parser->num_words);
    QO_TRY(
        memory_alloc("a checkpoint's records", num_records, sizeof *image->record, &image->record));
    image->num_records = (int)num_records;
    for (int i = 0; i < image->num_records; i++)
        QO_TRY(take_record(parser, &image->record[i]));
    QO_CHECK(parser->num_words == 0, QO_DATA,
             "%s: contradicts itself: %lld words behind its last record", parser->path,
             (long long)parser->num_words);
done:
    return status;
}

/* Whether a file is what it was when it was written, and in a format that this program knows. */
static enum status check_file(const char *path, const uint64_t *word, int64_t bytes)
{
    enum status status = QO_OK;
    uint32_t version;
    int64_t last = bytes / 8 - 1;
    QO_CHECK(memcmp(word, MAGIC, strlen(MAGIC)) == 0, QO_DATA, "%s: is not a checkpoint", path);
    int64_t written = (int64_t)le64toh(word[MAGIC_WORDS]);
    QO_CHECK(bytes == written && bytes % 8 == 0, QO_DATA,
             "%s: is not whole: it has %lld bytes instead of %lld", path, (long long)bytes,
             (long long)written);
    QO_CHECK(XXH3_64bits(word, (size_t)(8 * last)) == le64toh(word[last]), QO_DATA,
             "%s: is damaged: its digest is wrong", path);
    memcpy(&version, (const char *)word + strlen(MAGIC), sizeof version);
    version = le32toh(version);
    QO_CHECK(version == FORMAT_VERSION, QO_DATA,
             "%s: has format version %lu, and this program writes and reads version %d", path,
             (unsigned long)version, FORMAT_VERSION);
done:
    return status;
}

/* Reads one file; its failure has no remedy in its text. The image is cleared by the caller. */
static enum status read_file(const char *path, struct checkpoint_image *image)
{
    enum status status;
    int fd = -1;
    int64_t bytes;
    uint64_t *word = NULL;
    QO_TRY(input_file_open(path, &fd, &bytes));
    QO_CHECK(bytes >= 8 * (HEADER_WORDS + DIGEST_WORDS), QO_DATA,
             "%s: is not whole: it has only %lld bytes", path, (long long)bytes);
    QO_TRY(memory_alloc_large("a checkpoint", words_of(bytes), sizeof *word, &word));
    QO_TRY(input_file_read(fd, path, 0, bytes, word));
    QO_TRY(check_file(path, word, bytes));
    struct parser parser = {path, word, bytes / 8 - DIGEST_WORDS};
    QO_TRY(parse(&parser, image));
done:
    input_file_close(&fd);
    memory_free(word);
    return status;
}

static bool is_there(const char *path)
{
    struct stat about;
    return lstat(path, &about) == 0 || errno != ENOENT;
}

/* Reads a file if it is there; after a failure the image is empty. */
static enum status read_if_there(const char *path, struct checkpoint_image *image, bool *found)
{
    *image = (struct checkpoint_image){0};
    *found = is_there(path);
    enum status status = *found ? read_file(path, image) : QO_OK;
    if (status != QO_OK)
        checkpoint_image_clear(image);
    return status;
}

/* Goes on from the one before, where PATH cannot be used: `why` says in what way. */
static enum status read_previous(const char *path, enum status failure, const char *why,
                                 struct checkpoint_image *image, bool *found)
{
    enum status status;
    bool is_missing = failure == QO_OK;
    char *previous = NULL;
    QO_TRY(memory_join_texts(path, ".previous", &previous));
    status = read_if_there(previous, image, found);
    if (status == QO_OK && *found) {
        log_warn("%s; going on from %s", why, previous);
        /* One that only could not be read now may be whole. Who cannot rename cannot write either.
         */
        if (is_missing || failure == QO_DATA)
            (void)rename_or_fault(previous, path);
    } else if (status == QO_OK && !is_missing) {
        status = status_raise(failure, "%s; " REMEDY, why);
    } else if (status != QO_OK && status != QO_NO_MEMORY) {
        char text[1024];
        snprintf(text, sizeof text, "%s", status_text());
        status = status_raise(is_missing ? status : failure, "%s, and %s; " REMEDY, why, text);
    }
done:
    memory_free(previous);
    return status;
}

enum status checkpoint_read(const char *path, struct checkpoint_image *image, bool *found)
{
    char why[1024];
    enum status status = read_if_there(path, image, found);
    if ((status == QO_OK && *found) || status == QO_NO_MEMORY)
        return status;
    if (status == QO_OK)
        snprintf(why, sizeof why, "%s: is not there", path);
    else
        snprintf(why, sizeof why, "%s", status_text());
    status_clear();
    return read_previous(path, status, why, image, found);
}

void checkpoint_image_clear(struct checkpoint_image *image)
{
    for (int i = 0; i < image->num_records; i++)
        memory_free(image->record[i].word);
    memory_free(image->record);
    memory_free(image->identity);
    *image = (struct checkpoint_image){0};
}

/* ---- Comparing ---- */

/* A line of an identity: borrowed. */
struct line {
    const char *text;
    int length, name_length;
};

/* Takes the line at *text; false at the end. A line without " = " is all name. */
static bool next_line(const char **text, struct line *line)
{
    size_t n = strcspn(*text, "\n");
    if (**text == '\0')
        return false;
    *line = (struct line){*text, (int)n, (int)n};
    const char *equals = strstr(*text, " = ");
    if (equals && equals < *text + n)
        line->name_length = (int)(equals - *text);
    *text += n + ((*text)[n] == '\n');
    return true;
}

static bool has_name(const char *text, const struct line *wanted)
{
    struct line line;
    while (next_line(&text, &line))
        if (line.name_length == wanted->name_length &&
            memcmp(line.text, wanted->text, (size_t)line.name_length) == 0)
            return true;
    return false;
}

/* Whether a line tells of the inputs and not of the options; the option "input" is none of them. */
static bool is_of_input(const struct line *line)
{
    static const char *const prefix[] = {"input ", "vector ", "vectors"};
    for (size_t i = 0; i < sizeof prefix / sizeof *prefix; i++)
        if (strncmp(line->text, prefix[i], strlen(prefix[i])) == 0 &&
            (size_t)line->name_length >= strlen(prefix[i]))
            return true;
    return false;
}

/* The value of a line, as "%.*s" takes it. */
static int value_length(const struct line *line)
{
    return line->length > line->name_length ? line->length - line->name_length - 3 : 0;
}

static const char *value_of(const struct line *line)
{
    return line->text + line->length - value_length(line);
}

/* The same name with two values. */
static enum status raise_value(const char *path, const struct line *then, const struct line *now)
{
    if (is_of_input(then))
        return status_raise(QO_DATA,
                            "%s: %.*s has changed since: then %.*s, now %.*s; bring it back, or "
                            "run without --resume to start anew",
                            path, then->name_length, then->text, value_length(then), value_of(then),
                            value_length(now), value_of(now));
    return status_raise(QO_USAGE,
                        "%s: made with %.*s, this run has %.*s; run as then, or without --resume "
                        "to start anew",
                        path, then->length, then->text, now->length, now->text);
}

/* A name that only one of the two has. */
static enum status raise_alone(const char *path, const struct line *line, bool is_now)
{
    const char *remedy = "run as then, or without --resume to start anew";
    enum status code = is_of_input(line) ? QO_DATA : QO_USAGE;
    if (is_now)
        return status_raise(code, "%s: made without %.*s, this run has %.*s; %s", path,
                            line->name_length, line->text, line->length, line->text, remedy);
    return status_raise(code, "%s: made with %.*s, this run has no %.*s; %s", path, line->length,
                        line->text, line->name_length, line->text, remedy);
}

/* The first lines that are not the same. */
static enum status raise_lines(const char *path, const char *stored, const struct line *then,
                               const char *mine, const struct line *now)
{
    bool same_name = then->name_length == now->name_length && then->length > 0 &&
                     memcmp(then->text, now->text, (size_t)then->name_length) == 0;
    if (same_name)
        return raise_value(path, then, now);
    if (now->length == 0 || (then->length > 0 && !has_name(mine, then)))
        return raise_alone(path, then, false);
    if (then->length == 0 || !has_name(stored, now))
        return raise_alone(path, now, true);
    return status_raise(is_of_input(then) ? QO_DATA : QO_USAGE,
                        "%s: made with %.*s where this run has %.*s; give them in the order of "
                        "then, or run without --resume to start anew",
                        path, then->length, then->text, now->length, now->text);
}

enum status checkpoint_compare(const char *path, const char *stored, const char *mine)
{
    const char *rest_then = stored, *rest_now = mine;
    while (*rest_then || *rest_now) {
        struct line then = {.text = ""}, now = {.text = ""};
        (void)next_line(&rest_then, &then);
        (void)next_line(&rest_now, &now);
        if (then.length != now.length || memcmp(then.text, now.text, (size_t)then.length) != 0)
            return raise_lines(path, stored, &then, mine, &now);
    }
    return QO_OK;
}

/* ---- Removing ---- */

enum status checkpoint_remove(const char *path)
{
    static const char *const suffix[] = {"", ".previous", ".new"};
    enum status status = QO_OK;
    for (int i = 0; i < 3; i++) {
        char *name = NULL;
        enum status one = memory_join_texts(path, suffix[i], &name);
        bool fault = one == QO_OK && fault_here();
        if (fault)
            errno = EACCES;
        if (one == QO_OK && (fault || unlink(name) != 0) && errno != ENOENT)
            one =
                status_raise(QO_IO, "%s: cannot be removed: %s; delete it", name, strerror(errno));
        if (status == QO_OK)
            status = one;
        memory_free(name);
    }
    return status;
}
