/* What the tests of the text half of the engine share: cmocka and vocabularies. */
#ifndef TESTS_ENGINE_TEXT_TEST_H
#define TESTS_ENGINE_TEXT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "vocab.h"

#include <cmocka.h>

#endif
