/* `gate engine`: the program of the engine's child process. Not for people: the node starts it with
 * a socketpair as descriptor 3. */
#ifndef PROVIDER_ENGINE_MAIN_H
#define PROVIDER_ENGINE_MAIN_H

/* argv[0] is "engine". Returns the process's exit status. */
int engine_main(int argc, char **argv);

#endif
