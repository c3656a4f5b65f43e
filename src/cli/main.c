/* clfusion: finds the sub-command and runs it. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/size.h"

static const clf_cli_command *const commands[] = {
    &clf_cli_devices, &clf_cli_inspect,  &clf_cli_run, &clf_cli_plan, &clf_cli_diagnose,
#ifndef CLF_NO_BENCH
    &clf_cli_bench,   &clf_cli_selftest,
#endif
};

/* Named by the command's contract, not into this build. */
static const char *const later[] = {
#ifdef CLF_NO_BENCH
    "bench",
    "selftest",
#endif
    NULL,
};

/* A closed standard stream would leave its number to the next file that is opened, and the report would go there. */
static void hold_standard_streams(void)
{
    int file = 0;

    while (file >= 0 && file <= STDERR_FILENO)
        file = open("/dev/null", O_RDONLY); /* writing to it still fails */
    if (file >= 0)
        (void)close(file);
}

static int flush_text(void)
{
    return fflush(stdout) == 0 ? CLF_EXIT_DONE : clf_cli_failf("stdout: cannot be written; want a place for the text");
}

static int print_help(void)
{
    (void)printf("clfusion %s: fusion layers of vision-language models on OpenCL devices\n\n"
                 "usage: clfusion COMMAND [OPTIONS]\n\n",
                 clf_version());
    for (size_t i = 0; i < CLF_COUNT(commands); i++)
        (void)printf("  %-9s %s\n", commands[i]->name, commands[i]->summary);
    (void)printf("\n"
                 "  --help     this text; clfusion COMMAND --help tells more\n"
                 "  --version  the version\n\n"
                 "Exit status: 0 done, 1 the request could not be carried out, 2 wrong usage.\n");
    return flush_text();
}

static int print_command_help(const clf_cli_command *command)
{
    (void)printf("usage: clfusion %s %s\n\n%s.\n\n%s\n", command->name, command->usage, command->summary,
                 command->text);
    clf_cli_options_print(command);
    return flush_text();
}

static int run_command(const clf_cli_command *command, int argc, char **argv)
{
    clf_cli_options options;
    int status = clf_cli_options_parse(command, argc, argv, &options);

    if (status < 0)
        status = options.help ? print_command_help(command) : command->run(&options);
    if (status == CLF_EXIT_DONE && !options.help && !command->no_checkpoint)
        clf_cli_note_sets(&options);
    clf_cli_options_free(&options);
    return status;
}

int main(int argc, char **argv)
{
    hold_standard_streams();
    if (argc < 2)
        return clf_cli_usage(NULL,
                             "no command is given; want devices, inspect, run, plan, diagnose, bench or selftest");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help();
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("clfusion %s\n", clf_version());
        return flush_text();
    }
    for (size_t i = 0; i < CLF_COUNT(commands); i++)
        if (strcmp(argv[1], commands[i]->name) == 0)
            return run_command(commands[i], argc - 1, argv + 1);
    for (size_t i = 0; later[i] != NULL; i++)
        if (strcmp(argv[1], later[i]) == 0)
            return clf_cli_failf("%s: unsupported in this build of version %s; clfusion --help lists the commands",
                                 later[i], clf_version());
    return clf_cli_usage(NULL, "command is %s; want devices, inspect, run, plan, diagnose, bench or selftest", argv[1]);
}
