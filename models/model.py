# SPDX-License-Identifier: MIT OR Apache-2.0
"""The network and its tokens: a plain llama (RMSNorm, interleaved RoPE, GQA, SwiGLU, tied embedding) over bytes.

Token ids: 0..255 are the bytes, in the order of the GPT-2 byte alphabet written by export_gguf.py;
256 is a merged token that no UTF-8 text contains (some loaders insist on a merge); then the control tokens.
The usual heads of a turn ("<|im_start|>user" and its newline) are one token each: the text is plain ChatML,
and recognised by its longest match. Behind them come the frequent words of vocabulary.txt ("user-defined" tokens
in GGUF's terms): at each place of a text the longest one that matches is taken, else one byte.
"""

import os
import re

import torch
import torch.nn as nn
import torch.nn.functional as F

ENDOFTEXT, IM_START, IM_END = 257, 258, 259
ROLES = {"system": 260, "user": 261, "assistant": 262}
FIRST_WORD = 263


def _load_words():
    """The words of vocabulary.txt, each closed by a bar that keeps its trailing space visible."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vocabulary.txt")
    with open(path, encoding="utf-8") as lines:
        return [line.rstrip("\n")[:-1] for line in lines]


WORDS = _load_words()
WORD_IDS = {word: FIRST_WORD + index for index, word in enumerate(WORDS)}
LONGEST_FIRST = re.compile("(%s)" % "|".join(re.escape(w) for w in sorted(WORDS, key=len, reverse=True)))
VOCAB = FIRST_WORD + len(WORDS)

DIM, LAYERS, HEADS, KV_HEADS, FFN = 128, 6, 4, 4, 384
HEAD_DIM = DIM // HEADS
CONTEXT = 2048
ROPE_BASE = 10000.0
EPS = 1e-5


def tokens_of(text):
    """Words where they match, bytes elsewhere."""
    ids = []
    for index, part in enumerate(LONGEST_FIRST.split(text)):
        if index % 2:
            ids.append(WORD_IDS[part])
        else:
            ids += part.encode()
    return ids


def text_of(ids):
    """The text of tokens below and from FIRST_WORD; broken UTF-8 is replaced."""
    raw = b"".join(bytes([i]) if i < 256 else WORDS[i - FIRST_WORD].encode() for i in ids)
    return raw.decode("utf-8", "replace")


def encode(turns):
    """Renders (role, text, learn) turns as the chat template does; returns ids and a 0/1 learn list."""
    ids, learn = [], []
    for role, text, teach in turns:
        head = [ROLES[role]]
        body = tokens_of(text) + [IM_END]
        ids += head + body + [10]
        learn += [0] * len(head) + [1 if teach else 0] * len(body) + [0]
    return ids, learn


def prompt_ids(messages):
    """The ids of [(role, text), …] followed by the head of the assistant's turn."""
    return encode([(role, text, False) for role, text in messages])[0] + [ROLES["assistant"]]


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(DIM))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * self.weight


def rotate(x, cos, sin):
    even, odd = x[..., 0::2].float(), x[..., 1::2].float()
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Gate(torch.autograd.Function):
    """silu(gate) * up, with a backward pass made of fast operations (PyTorch's own is slow in bfloat16)."""

    @staticmethod
    def forward(ctx, gate, up):
        squash = torch.sigmoid(gate)
        swish = gate * squash
        ctx.save_for_backward(squash, swish, up)
        return swish * up

    @staticmethod
    def backward(ctx, grad):
        squash, swish, up = ctx.saved_tensors
        return grad * up * (squash + swish - squash * swish), grad * swish


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn_norm, self.ffn_norm = Norm(), Norm()
        self.attn_q = nn.Linear(DIM, DIM, bias=False)
        self.attn_k = nn.Linear(DIM, KV_HEADS * HEAD_DIM, bias=False)
        self.attn_v = nn.Linear(DIM, KV_HEADS * HEAD_DIM, bias=False)
        self.attn_output = nn.Linear(DIM, DIM, bias=False)
        self.ffn_gate = nn.Linear(DIM, FFN, bias=False)
        self.ffn_up = nn.Linear(DIM, FFN, bias=False)
        self.ffn_down = nn.Linear(FFN, DIM, bias=False)

    def forward(self, x, cos, sin, mask, cache=None, select=None):
        batch, length, _ = x.shape
        h = self.attn_norm(x)
        # One product instead of three: small ones are slow.
        qkv = F.linear(h, torch.cat((self.attn_q.weight, self.attn_k.weight, self.attn_v.weight)))
        qkv = qkv.view(batch, length, HEADS + 2 * KV_HEADS, HEAD_DIM).transpose(1, 2)
        turned = rotate(qkv[:, :HEADS + KV_HEADS], cos, sin)
        q, k, v = turned[:, :HEADS], turned[:, HEADS:], qkv[:, HEADS + KV_HEADS:]
        if cache is not None:
            if cache:
                k, v = torch.cat((cache[0], k), 2), torch.cat((cache[1], v), 2)
            cache[:] = [k, v]
        if HEADS != KV_HEADS:
            k, v = k.repeat_interleave(HEADS // KV_HEADS, 1), v.repeat_interleave(HEADS // KV_HEADS, 1)
        scores = torch.matmul(q * HEAD_DIM ** -0.5, k.transpose(-1, -2))
        scores = scores + mask.to(scores.dtype)
        h = torch.matmul(scores.softmax(-1), v).transpose(1, 2).reshape(batch, length, DIM)
        if select is not None:
            x, h = x[select], h[select]
        x = x + self.attn_output(h)
        h = self.ffn_norm(x)
        return x + self.ffn_down(Gate.apply(self.ffn_gate(h), self.ffn_up(h)))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.token_embd = nn.Embedding(VOCAB, DIM)
        self.blk = nn.ModuleList(Block() for _ in range(LAYERS))
        self.output_norm = Norm()
        nn.init.normal_(self.token_embd.weight, std=0.04)
        for block in self.blk:
            for linear in (block.attn_output, block.ffn_down):
                nn.init.zeros_(linear.weight)
        self.register_buffer("freq", ROPE_BASE ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM), persistent=
            False)

    def forward(self, ids, positions, cache=None, select=None):
        """Logits of the selected places (a boolean mask), or of all."""
        angle = positions[:, None, :, None].float() * self.freq
        cos, sin = angle.cos(), angle.sin()
        length = ids.shape[1]
        mask = torch.full((length, length), -1e4).triu(1) if length > 1 else torch.zeros(1, 1)
        x = self.token_embd(ids)
        for index, block in enumerate(self.blk):
            # Past the last block's attention only the selected places matter.
            last = index == len(self.blk) - 1
            x = block(x, cos, sin, mask, None if cache is None else cache[index], select if last else None)
        x = self.output_norm(x)
        return F.linear(x, self.token_embd.weight)


def quantise_q8_0(weight):
    """Q8_0 blocks of 32 along the rows: (float16 scales, int8 values)."""
    blocks = weight.detach().float().reshape(-1, 32)
    scale = blocks.abs().amax(1) / 127.0
    inverse = torch.where(scale > 0, 1.0 / scale, torch.zeros_like(scale))
    values = (blocks * inverse[:, None]).round().clamp(-127, 127).to(torch.int8)
    return scale.half(), values


def through_q8_0(model):
    """Replaces every matrix by what the Q8_0 file will hold."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                scale, values = quantise_q8_0(parameter)
                parameter.copy_((values.float() * scale.float()[:, None]).reshape(parameter.shape))
    return model


def generate(model, messages, limit=160):
    """Greedy answer to [(role, text), …]."""
    ids = prompt_ids(messages)
    cache = [[] for _ in range(LAYERS)]
    out, position = [], 0
    with torch.no_grad():
        while len(out) < limit:
            places = torch.arange(position, position + len(ids))[None]
            logits = model(torch.tensor([ids]), places, cache)[0, -1]
            position += len(ids)
            token = int(logits.argmax())
            if 256 <= token < FIRST_WORD:
                break
            out.append(token)
            ids = [token]
    return text_of(out)
