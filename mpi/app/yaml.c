/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration files, from libyaml's events. Only what options need is understood: one mapping of
 * names to values or lists of values. Everything else is refused rather than given a meaning of its
 * own.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "fault.h"
#include "spelling.h"
#include "yaml_file.h"

/* Longer than the name of any option; a longer key is unknown anyway. */
#define KEY_BYTES 128

struct reader {
    const char *path;
    FILE *file;
    int read_error; /* errno of a read that failed */
    yaml_parser_t parser;
    yaml_event_t event; /* the current one; zeroed: none */
    char key[KEY_BYTES];
    enum status (*take)(void *context, const struct yaml_item *item);
    void *context;
};

/* libyaml's way to ask for bytes; a FILE read by libyaml itself would lose errno. */
static int read_bytes(void *context, unsigned char *buffer, size_t size, size_t *got)
{
    struct reader *reader = context;
    bool failed = fault_here();
    errno = EIO;
    *got = failed ? 0 : fread(buffer, 1, size, reader->file);
    if (failed || ferror(reader->file))
        reader->read_error = errno;
    return reader->read_error == 0;
}

/* libyaml counts lines from 0, editors from 1. */
static int line_of(const struct reader *reader)
{
    return (int)reader->event.start_mark.line + 1;
}

/* What libyaml has to say. In the order of causes: no memory and a failed read show as a syntax
 * error too, and would blame the file. */
static enum status syntax_error(const struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return status_raise(QO_NO_MEMORY, "%s: no memory to read it; use a smaller file",
                            reader->path);
    if (reader->read_error)
        return status_raise(QO_CONFIG, "%s: cannot be read: %s; give a readable YAML file",
                            reader->path, strerror(reader->read_error));
    if (parser->error == YAML_READER_ERROR)
        return status_raise(QO_CONFIG, "%s: byte %zu: %s; save it as UTF-8 text", reader->path,
                            parser->problem_offset, parser->problem);
    return status_raise(QO_CONFIG, "%s:%zu: not valid YAML: %s; write NAME: VALUE lines",
                        reader->path, parser->problem_mark.line + 1, parser->problem);
}

/* Refuses what gives a value a name, a type or a place of its own. A shell's glob such as *bias is
 * an alias to YAML: the remedy says to quote it. */
static enum status check_plain(const struct reader *reader)
{
    const yaml_event_t *event = &reader->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    const char *found = event->type == YAML_ALIAS_EVENT ? "an alias (*)"
                        : anchor                        ? "an anchor (&)"
                        : tag                           ? "a tag (!)"
                                                        : NULL;
    if (found)
        return status_raise(
            QO_CONFIG, "%s:%d: %s%s%s; write the value itself, in quotes if it begins so",
            reader->path, line_of(reader), reader->key, reader->key[0] ? ": " : "", found);
    return QO_OK;
}

/* Moves on to the next event. The current one is deleted first, and left zeroed after a failure, so
 * that the caller may delete it whatever happened. */
static enum status next(struct reader *reader)
{
    yaml_event_delete(&reader->event);
    if (!yaml_parser_parse(&reader->parser, &reader->event)) {
        memset(&reader->event, 0, sizeof reader->event);
        return syntax_error(reader);
    }
    return check_plain(reader);
}

/* Of any style: quoted or not, a text is a text, and the option gives it a type. */
static bool is_scalar(const struct reader *reader)
{
    return reader->event.type == YAML_SCALAR_EVENT;
}

/* The current scalar as a text; NULL if it holds what must not be in one. */
static const char *scalar_text(const struct reader *reader)
{
    const char *text = (const char *)reader->event.data.scalar.value;
    bool whole = strlen(text) == reader->event.data.scalar.length;
    return whole && spelling_unprintable(text) < 0 ? text : NULL;
}

/* YAML's ways to write no value; in quotes they are texts. */
static bool is_null(const struct reader *reader)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    if (reader->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++)
        if (strcmp((const char *)reader->event.data.scalar.value, nulls[i]) == 0)
            return true;
    return false;
}

/* Which keys there are is the taker's business; here it is only made sure that a message can name
 * them. */
static enum status take_key(struct reader *reader)
{
    int line = line_of(reader);
    const char *key = is_scalar(reader) ? scalar_text(reader) : NULL;
    if (!key || key[0] == '\0' || strlen(key) >= KEY_BYTES)
        return status_raise(QO_CONFIG, "%s:%d: a key is the name of an option; see --help",
                            reader->path, line);
    strcpy(reader->key, key);
    return QO_OK;
}

/* Null is refused and not taken for "the default": whoever writes `output:` and nothing behind it
 * forgot something. */
static enum status take_value(struct reader *reader, int index)
{
    int line = line_of(reader);
    if (!is_scalar(reader))
        return status_raise(QO_CONFIG, "%s:%d: %s: nested; give a single value or a list of them",
                            reader->path, line, reader->key);
    if (is_null(reader))
        return status_raise(QO_CONFIG, "%s:%d: %s: has no value; give one or leave the key out",
                            reader->path, line, reader->key);
    const char *text = scalar_text(reader);
    if (!text)
        return status_raise(QO_CONFIG,
                            "%s:%d: %s: the value holds a control character; leave it out",
                            reader->path, line, reader->key);
    struct yaml_item item = {.key = reader->key, .value = text, .line = line, .index = index};
    return reader->take(reader->context, &item);
}

/* An empty list would clear a default without giving anything: a run of no approach. */
static enum status take_list(struct reader *reader)
{
    enum status status = QO_OK;
    int index = 0;
    QO_TRY(next(reader));
    QO_CHECK(reader->event.type != YAML_SEQUENCE_END_EVENT, QO_CONFIG,
             "%s:%d: %s: an empty list; give a value or leave the key out", reader->path,
             line_of(reader), reader->key);
    while (reader->event.type != YAML_SEQUENCE_END_EVENT) {
        QO_TRY(take_value(reader, index++));
        QO_TRY(next(reader));
    }
done:
    return status;
}

/* The key is forgotten between items, so that a message about the next key does not name the last
 * one. */
static enum status take_mapping(struct reader *reader)
{
    enum status status = QO_OK;
    QO_CHECK(reader->event.type == YAML_MAPPING_START_EVENT, QO_CONFIG,
             "%s:%d: not a mapping; write NAME: VALUE lines", reader->path, line_of(reader));
    for (;;) {
        reader->key[0] = '\0';
        QO_TRY(next(reader));
        if (reader->event.type == YAML_MAPPING_END_EVENT)
            break;
        QO_TRY(take_key(reader));
        QO_TRY(next(reader));
        QO_TRY(reader->event.type == YAML_SEQUENCE_START_EVENT ? take_list(reader)
                                                               : take_value(reader, -1));
    }
done:
    return status;
}

/* One document: of two it would be a guess which one counts. */
static enum status take_stream(struct reader *reader)
{
    enum status status = QO_OK;
    QO_TRY(next(reader)); /* the stream's start */
    QO_TRY(next(reader)); /* the document's */
    QO_CHECK(reader->event.type == YAML_DOCUMENT_START_EVENT, QO_CONFIG,
             "%s: holds no option; write NAME: VALUE lines", reader->path);
    QO_TRY(next(reader));
    QO_TRY(take_mapping(reader));
    QO_TRY(next(reader)); /* the document's end */
    QO_TRY(next(reader));
    QO_CHECK(reader->event.type == YAML_STREAM_END_EVENT, QO_CONFIG,
             "%s:%d: a second document; give one run a file", reader->path, line_of(reader));
done:
    return status;
}

enum status yaml_file_read(const char *path,
                           enum status (*take)(void *context, const struct yaml_item *item),
                           void *context)
{
    struct reader reader = {.path = path, .take = take, .context = context};
    errno = EACCES;
    reader.file = fault_here() ? NULL : fopen(path, "rb");
    if (!reader.file)
        return status_raise(QO_CONFIG, "%s: cannot be opened: %s; give a readable YAML file", path,
                            strerror(errno));
    enum status status;
    if (fault_here() || !yaml_parser_initialize(&reader.parser)) {
        status = status_raise(QO_NO_MEMORY, "%s: no memory to read it; free some", path);
    } else {
        yaml_parser_set_input(&reader.parser, read_bytes, &reader);
        status = take_stream(&reader);
        yaml_event_delete(&reader.event);
        yaml_parser_delete(&reader.parser);
    }
    fclose(reader.file); /* read only: nothing can be lost */
    return status;
}
