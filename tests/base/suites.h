/* The groups of the base room's test program; each returns its number of failures. */
#ifndef TESTS_BASE_SUITES_H
#define TESTS_BASE_SUITES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

int run_bucket_tests(void);
int run_bytes_tests(void);
int run_encode_tests(void);
int run_err_tests(void);
int run_log_tests(void);

#endif
