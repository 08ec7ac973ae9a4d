/* The floor under a durable hub: the same commits with nothing around them.
 *
 * usage: rawsqlite DATABASE SYNCHRONOUS SCHEMA BATCH COUNT GAP_US SECONDS STATEMENT...
 *
 * SCHEMA is a file of SQL. A message is each STATEMENT once, prepared beforehand; a parameter :n is
 * the message's number. A transaction holds BATCH messages. With COUNT > 0 that many transactions
 * are made, one each GAP_US microseconds; else as many as fit into SECONDS.
 * Prints one line of JSON; latencies are those of a transaction in microseconds.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST_STATEMENTS 16

static sqlite3 *db;

static void must(int code, int wanted)
{
    if (code == wanted) return;
    fprintf(stderr, "rawsqlite: %s\n", sqlite3_errmsg(db));
    exit(1);
}

static double now_us(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1e6 + at.tv_nsec / 1e3;
}

static void wait_until(double at_us)
{
    double left;
    while ((left = at_us - now_us()) > 0) {
        struct timespec pause = {(time_t)(left / 1e6), (long)((left - 1e6 * (long)(left / 1e6)) * 1e3)};
        nanosleep(&pause, NULL);
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static char *whole_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) { perror(path); exit(1); }
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = calloc(1, size + 1);
    if (fread(text, 1, size, file) != (size_t)size) { perror(path); exit(1); }
    fclose(file);
    return text;
}

int main(int count_arguments, char **arguments)
{
    if (count_arguments < 9 || count_arguments > 8 + MOST_STATEMENTS) {
        fprintf(stderr, "usage: rawsqlite DATABASE SYNCHRONOUS SCHEMA BATCH COUNT GAP_US SECONDS STATEMENT...\n");
        return 2;
    }
    int batch = atoi(arguments[4]), wanted = atoi(arguments[5]);
    double gap_us = atof(arguments[6]), seconds = atof(arguments[7]);
    int statements = count_arguments - 8;
    char pragma[64];
    must(sqlite3_open(arguments[1], &db), SQLITE_OK);
    must(sqlite3_exec(db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL), SQLITE_OK);
    snprintf(pragma, sizeof pragma, "PRAGMA synchronous=%s", arguments[2]);
    must(sqlite3_exec(db, pragma, NULL, NULL, NULL), SQLITE_OK);
    must(sqlite3_exec(db, whole_file(arguments[3]), NULL, NULL, NULL), SQLITE_OK);
    sqlite3_stmt *begin, *commit, *each[MOST_STATEMENTS];
    must(sqlite3_prepare_v2(db, "BEGIN IMMEDIATE", -1, &begin, NULL), SQLITE_OK);
    must(sqlite3_prepare_v2(db, "COMMIT", -1, &commit, NULL), SQLITE_OK);
    for (int i = 0; i < statements; i++)
        must(sqlite3_prepare_v2(db, arguments[8 + i], -1, &each[i], NULL), SQLITE_OK);

    size_t room = 1 << 16, made = 0;
    double *took = malloc(room * sizeof *took);
    long long number = 0;
    double start = now_us(), end = start + seconds * 1e6;
    while (wanted > 0 ? made < (size_t)wanted : now_us() < end) {
        if (wanted > 0) wait_until(start + gap_us * (made + 1));
        double before = now_us();
        must(sqlite3_step(begin), SQLITE_DONE);
        sqlite3_reset(begin);
        for (int message = 0; message < batch; message++) {
            number++;
            for (int i = 0; i < statements; i++) {
                int place = sqlite3_bind_parameter_index(each[i], ":n"), code;
                if (place) sqlite3_bind_int64(each[i], place, number);
                while ((code = sqlite3_step(each[i])) == SQLITE_ROW) {}
                must(code, SQLITE_DONE);
                sqlite3_reset(each[i]);
            }
        }
        must(sqlite3_step(commit), SQLITE_DONE);
        sqlite3_reset(commit);
        if (made == room) took = realloc(took, (room *= 2) * sizeof *took);
        took[made++] = now_us() - before;
    }
    double elapsed = now_us() - start;
    qsort(took, made, sizeof *took, by_size);
    printf("{\"perSecond\":%.1f,\"p50\":%.1f,\"p99\":%.1f}\n", number / elapsed * 1e6,
           took[made / 2], took[(size_t)(made * 0.99)]);
    return 0;
}
