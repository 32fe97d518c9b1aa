/*
 * libmilter SOCKET noop|all
 *
 * What a milter costs before it does anything, with Sendmail's own library: the yardstick of
 * `make bench`. `noop` registers no callback, so that libmilter asks the MTA to skip every stage.
 * `all` registers every one and answers each with "continue", as a milter does that wants to see
 * the whole message.
 */
#include <libmilter/mfapi.h>
#include <stdio.h>
#include <string.h>

static sfsistat on_connect(SMFICTX *context, char *host, _SOCK_ADDR *address) {
    (void)context, (void)host, (void)address;
    return SMFIS_CONTINUE;
}

static sfsistat on_word(SMFICTX *context, char *word) {
    (void)context, (void)word;
    return SMFIS_CONTINUE;
}

static sfsistat on_words(SMFICTX *context, char **words) {
    (void)context, (void)words;
    return SMFIS_CONTINUE;
}

static sfsistat on_unknown(SMFICTX *context, const char *command) {
    (void)context, (void)command;
    return SMFIS_CONTINUE;
}

static sfsistat on_header(SMFICTX *context, char *name, char *value) {
    (void)context, (void)name, (void)value;
    return SMFIS_CONTINUE;
}

static sfsistat on_body(SMFICTX *context, unsigned char *chunk, size_t length) {
    (void)context, (void)chunk, (void)length;
    return SMFIS_CONTINUE;
}

static sfsistat on_stage(SMFICTX *context) {
    (void)context;
    return SMFIS_CONTINUE;
}

int main(int argc, char **argv) {
    struct smfiDesc milter = {.xxfi_name = "yardstick", .xxfi_version = SMFI_VERSION};
    if (argc != 3 || (strcmp(argv[2], "noop") != 0 && strcmp(argv[2], "all") != 0)) {
        fprintf(stderr, "usage: libmilter SOCKET noop|all\n");
        return 64;
    }
    if (strcmp(argv[2], "all") == 0) {
        milter.xxfi_connect = on_connect;
        milter.xxfi_helo = on_word;
        milter.xxfi_envfrom = on_words;
        milter.xxfi_envrcpt = on_words;
        milter.xxfi_data = on_stage;
        milter.xxfi_header = on_header;
        milter.xxfi_eoh = on_stage;
        milter.xxfi_body = on_body;
        milter.xxfi_eom = on_stage;
        milter.xxfi_abort = on_stage;
        milter.xxfi_close = on_stage;
        milter.xxfi_unknown = on_unknown;
    }
    if (smfi_setconn(argv[1]) != MI_SUCCESS || smfi_register(milter) != MI_SUCCESS) {
        fprintf(stderr, "libmilter: cannot use %s\n", argv[1]);
        return 69;
    }
    return smfi_main() == MI_SUCCESS ? 0 : 69;
}
