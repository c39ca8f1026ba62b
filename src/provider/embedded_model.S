/* The embedded model's bytes, read-only. MODEL_FILE is its path, from the build. */
	.section .rodata
	.balign 64
	.globl embedded_model_begin
	.type embedded_model_begin, %object
embedded_model_begin:
	.incbin MODEL_FILE
	.globl embedded_model_end
	.type embedded_model_end, %object
embedded_model_end:
	.byte 0
	.section .note.GNU-stack, "", %progbits
