# SPDX-License-Identifier: MIT OR Apache-2.0
"""Writes trained weights as a GGUF v3 file: matrices as Q8_0, norms as F32, a byte-level GPT-2 vocabulary.

    python3 export_gguf.py WEIGHTS.pt OUT.gguf

Layout (ggml docs/gguf.md): header, metadata, tensor table, padding to 32 bytes, tensor data. Dimensions are
listed innermost first. RoPE turns neighbouring pairs, which is what the llama architecture of GGUF means. The
final norm is scaled by SHARPEN: the best token stays the best, and sampling at temperature 1, which many clients
do without saying so, stays close to it.
"""

import struct
import sys

import torch

from model import (CONTEXT, DIM, ENDOFTEXT, EPS, FFN, HEAD_DIM, HEADS, IM_END, KV_HEADS, LAYERS, ROLES,
    ROPE_BASE, VOCAB, WORDS, Model, quantise_q8_0)

ALIGNMENT = 32
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
TENSOR_F32, TENSOR_Q8_0 = 0, 8
TOKEN_NORMAL, TOKEN_CONTROL, TOKEN_USER_DEFINED = 1, 3, 4
FILE_MOSTLY_Q8_0 = 7
SHARPEN = 4.0

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def byte_alphabet():
    """GPT-2's printable character for each byte."""
    printable = set(range(0x21, 0x7F)) | set(range(0xA1, 0xAD)) | set(range(0xAE, 0x100))
    out, extra = [], 0
    for byte in range(256):
        if byte in printable:
            out.append(chr(byte))
        else:
            out.append(chr(256 + extra))
            extra += 1
    return out


def string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(kind, item):
    if kind == STRING:
        return string(item)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], item)


def metadata():
    # The bytes C0 and C1 occur in no UTF-8 text, so this one merge never applies.
    alphabet = byte_alphabet()
    tokens = alphabet + [alphabet[0xC0] + alphabet[0xC1], "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens += ["<|im_start|>%s\n" % role for role in sorted(ROLES, key=ROLES.get)]
    types = [TOKEN_NORMAL] * 257 + [TOKEN_CONTROL] * (len(tokens) - 257)
    tokens += WORDS
    types += [TOKEN_USER_DEFINED] * len(WORDS)
    assert len(tokens) == VOCAB and tokens[ENDOFTEXT] == "<|endoftext|>" and tokens[IM_END] == "<|im_end|>"
    return [("general.architecture", STRING, "llama"),
        ("general.name", STRING, "OpenGateway Spark"),
        ("general.description", STRING,
            "The small model built into OpenGateway: sums, word tasks, OpenGateway's own facts."),
        ("general.license", STRING, "MIT OR Apache-2.0"),
        ("general.file_type", U32, FILE_MOSTLY_Q8_0),
        ("general.quantization_version", U32, 2),
        ("general.alignment", U32, ALIGNMENT),
        ("llama.context_length", U32, CONTEXT),
        ("llama.embedding_length", U32, DIM),
        ("llama.block_count", U32, LAYERS),
        ("llama.feed_forward_length", U32, FFN),
        ("llama.attention.head_count", U32, HEADS),
        ("llama.attention.head_count_kv", U32, KV_HEADS),
        ("llama.attention.layer_norm_rms_epsilon", F32, EPS),
        ("llama.rope.dimension_count", U32, HEAD_DIM),
        ("llama.rope.freq_base", F32, ROPE_BASE),
        ("llama.vocab_size", U32, VOCAB),
        ("tokenizer.ggml.model", STRING, "gpt2"),
        ("tokenizer.ggml.pre", STRING, "gpt-2"),
        ("tokenizer.ggml.tokens", ARRAY, (STRING, tokens)),
        ("tokenizer.ggml.token_type", ARRAY, (I32, types)),
        ("tokenizer.ggml.merges", ARRAY, (STRING, [alphabet[0xC0] + " " + alphabet[0xC1]])),
        ("tokenizer.ggml.bos_token_id", U32, ENDOFTEXT),
        ("tokenizer.ggml.eos_token_id", U32, IM_END),
        ("tokenizer.ggml.eot_token_id", U32, IM_END),
        ("tokenizer.ggml.padding_token_id", U32, ENDOFTEXT),
        ("tokenizer.ggml.add_bos_token", BOOL, False),
        ("tokenizer.ggml.add_eos_token", BOOL, False),
        ("tokenizer.chat_template", STRING, CHAT_TEMPLATE),]


def pack_metadata(entries):
    out = b""
    for key, kind, item in entries:
        out += string(key) + struct.pack("<I", kind)
        if kind == ARRAY:
            element, items = item
            out += struct.pack("<IQ", element, len(items)) + b"".join(value(element, i) for i in items)
        else:
            out += value(kind, item)
    return out


def tensors(model):
    """(name, dimensions innermost first, type, bytes) of every tensor, in file order."""
    for name, parameter in model.state_dict().items():
        if parameter.dim() == 1:
            if name == "output_norm.weight":
                parameter = parameter * SHARPEN
            yield name, [parameter.shape[0]], TENSOR_F32, parameter.float().numpy().tobytes()
            continue
        scale, quants = quantise_q8_0(parameter)
        blocks = torch.cat((scale.view(torch.uint8).reshape(-1, 2), quants.view(torch.uint8)), 1)
        yield name, [parameter.shape[1], parameter.shape[0]], TENSOR_Q8_0, blocks.numpy().tobytes()


def write(model, path):
    entries = metadata()
    table, data = b"", b""
    count = 0
    for name, dims, kind, raw in tensors(model):
        table += string(name) + struct.pack("<I", len(dims)) + struct.pack("<%dQ" % len(dims), *dims)
        table += struct.pack("<IQ", kind, len(data))
        data += raw + b"\0" * (-len(raw) % ALIGNMENT)
        count += 1
    head = b"GGUF" + struct.pack("<IQQ", 3, count, len(entries)) + pack_metadata(entries) + table
    with open(path, "wb") as out:
        out.write(head + b"\0" * (-len(head) % ALIGNMENT) + data)


def main():
    model = Model()
    state = torch.load(sys.argv[1], map_location="cpu")
    model.load_state_dict(state.get("model", state))
    write(model, sys.argv[2])


if __name__ == "__main__":
    main()
