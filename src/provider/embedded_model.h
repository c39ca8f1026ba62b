/* The model inside the program: models/opengateway-spark.gguf, so that a node answers out of the
 * box, offline, wherever the program is copied. */
#ifndef PROVIDER_EMBEDDED_MODEL_H
#define PROVIDER_EMBEDDED_MODEL_H

#include "base/bytes.h"

#define EMBEDDED_MODEL    "embedded" /* what --model calls it */
#define EMBEDDED_MODEL_ID "opengateway-spark"

/* The GGUF file, aligned to 64 bytes, for as long as the program runs. */
struct bytes embedded_model(void);

#endif
