/* Where the embedded model lies: see embedded_model.S. */
#include "provider/embedded_model.h"

extern const uint8_t embedded_model_begin[], embedded_model_end[];

struct bytes embedded_model(void)
{
	return bytes_of(embedded_model_begin, (size_t)(embedded_model_end - embedded_model_begin));
}
