#!/usr/bin/python3
"""What the models of tiny.c answer, computed by a plain implementation in float64: the formats
unpacked as their specification reads, the layers as textbooks write them. Nothing is shared with
the engine but the names of things. Needs numpy; writes tiny_expected.h beside itself:

    tests/engine/tiny_expected.py
"""
import os
import numpy as np

MASK = (1 << 64) - 1
F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, BF16 = 0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 30
TOKENS = [1, 7, 3, 30, 22, 5, 5, 36, 0, 11, 19, 28, 2, 33, 14, 9, 25, 31, 6, 17, 12]
GREEDY = 8

# name, type, vocab, embd, layers, ff, heads, kv heads, head_dim, n_rot, rope, tied, biases
SPECS = [
    ("plain", F32, 48, 64, 2, 96, 4, 2, 0, 0, "plain", False, False),
    ("tied-factors", F32, 48, 64, 2, 96, 4, 4, 0, 0, "factors", True, False),
    ("linear", F32, 48, 64, 2, 96, 4, 1, 0, 0, "linear", False, False),
    ("yarn", F32, 48, 64, 2, 96, 4, 2, 0, 0, "yarn", False, False),
    ("odd-heads-biases", F32, 37, 60, 2, 52, 6, 2, 22, 10, "plain", False, True),
    ("f16", F16, 48, 64, 2, 96, 4, 2, 0, 0, "plain", False, False),
    ("bf16", BF16, 48, 64, 2, 96, 4, 2, 0, 0, "plain", False, False),
    ("q8_0", Q8_0, 48, 64, 2, 96, 4, 2, 0, 0, "plain", False, False),
    ("q4_0", Q4_0, 48, 64, 2, 96, 4, 2, 0, 0, "plain", True, False),
    ("q4_1", Q4_1, 48, 64, 2, 96, 4, 2, 0, 0, "plain", False, False),
    ("q5_0", Q5_0, 48, 64, 2, 96, 4, 2, 0, 0, "plain", False, False),
    ("q5_1", Q5_1, 48, 64, 2, 96, 4, 2, 0, 0, "plain", False, False),
    ("q4_k", Q4_K, 48, 256, 1, 256, 4, 1, 0, 0, "plain", False, False),
    ("q5_k", Q5_K, 48, 256, 1, 256, 4, 2, 0, 0, "plain", False, False),
    ("q6_k", Q6_K, 48, 256, 1, 512, 8, 2, 0, 0, "plain", False, False),
]


class Random:
    """splitmix64."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
        return z ^ z >> 31

    def unit(self):
        return ((self.next() >> 40) - (1 << 23)) / (1 << 23)


def seed_of(name):
    h = 0xCBF29CE484222325
    for c in name.encode():
        h = ((h ^ c) * 0x100000001B3) & MASK
    return h


def half(bits):
    return float(np.array([bits], dtype="<u2").view("<f2")[0])


def half_of(block, at):
    return half(block[at] | block[at + 1] << 8)


# type: weights, bytes, (scale offset, exponent), (minimum offset, exponent, sign) or None
GEOMETRY = {
    Q8_0: (32, 34, (0, -9), None),
    Q4_0: (32, 18, (0, -5), None),
    Q4_1: (32, 20, (0, -5), (2, -2, 0x8000)),
    Q5_0: (32, 22, (0, -6), None),
    Q5_1: (32, 24, (0, -6), (2, -2, 0x8000)),
    Q4_K: (256, 144, (0, -10), (2, -7, 0)),
    Q5_K: (256, 176, (0, -11), (2, -7, 0)),
    Q6_K: (256, 210, (208, -13), None),
}


def random_block(kind, rnd):
    _, size, scale, minimum = GEOMETRY[kind]
    block = [rnd.next() >> 56 for _ in range(size)]

    def put(at, exponent, sign):
        v = sign | (exponent + 15) << 10 | (rnd.next() & 0x3FF)
        block[at], block[at + 1] = v & 255, v >> 8

    put(*scale, 0)
    if minimum:
        put(*minimum)
    return block


def nibble32(qs, i):
    """Weight i of 32: the first 16 are the low halves of the bytes, the others the high ones."""
    return qs[i] & 15 if i < 16 else qs[i - 16] >> 4


def fifth(bits, i):
    return (bits[i // 8] >> i % 8 & 1) << 4


def k_scale_min(s, j):
    """Six-bit scale and minimum j of the twelve bytes of Q4_K and Q5_K."""
    if j < 4:
        return s[j] & 63, s[j + 4] & 63
    return (s[j + 4] & 15) | (s[j - 4] >> 6) << 4, (s[j + 4] >> 4) | (s[j] >> 6) << 4


def values(kind, b):
    if kind == Q8_0:
        return [half_of(b, 0) * (x - 256 if x > 127 else x) for x in b[2:]]
    if kind == Q4_0:
        return [half_of(b, 0) * (nibble32(b[2:], i) - 8) for i in range(32)]
    if kind == Q4_1:
        return [half_of(b, 0) * nibble32(b[4:], i) + half_of(b, 2) for i in range(32)]
    if kind == Q5_0:
        return [half_of(b, 0) * ((nibble32(b[6:], i) | fifth(b[2:6], i)) - 16) for i in range(32)]
    if kind == Q5_1:
        return [half_of(b, 0) * (nibble32(b[8:], i) | fifth(b[4:8], i)) + half_of(b, 2)
                for i in range(32)]
    if kind in (Q4_K, Q5_K):
        d, dmin, out = half_of(b, 0), half_of(b, 2), []
        qs = b[16:] if kind == Q4_K else b[48:]
        for i in range(256):
            group = i // 32
            byte = qs[32 * (i // 64) + i % 32]
            q = byte & 15 if group % 2 == 0 else byte >> 4
            if kind == Q5_K:
                q |= (b[16 + i % 32] >> group & 1) << 4
            scale, minimum = k_scale_min(b[4:16], group)
            out.append(d * scale * q - dmin * minimum)
        return out
    assert kind == Q6_K
    out = []
    for i in range(256):
        part, rest = i // 128, i % 128
        byte = b[64 * part + rest % 64]
        low = byte & 15 if rest < 64 else byte >> 4
        high = b[128 + 32 * part + rest % 32] >> 2 * (rest // 32) & 3
        scale = b[192 + i // 16]
        scale = scale - 256 if scale > 127 else scale
        out.append(half_of(b, 208) * scale * ((low | high << 4) - 32))
    return out


def matrix(name, kind, cols, rows):
    rnd, out = Random(seed_of(name)), []
    while len(out) < cols * rows:
        if kind == F32:
            out.append(rnd.unit() / 4)
        elif kind in (F16, BF16):
            r = rnd.next()
            sign = (r >> 63) << 15
            if kind == F16:
                out.append(half(sign | (10 + (r >> 32) % 3) << 10 | (r & 0x3FF)))
            else:
                bits = (sign | (122 + (r >> 32) % 3) << 7 | (r & 0x7F)) << 16
                out.append(float(np.array([bits], dtype="<u4").view("<f4")[0]))
        else:
            out += values(kind, random_block(kind, rnd))
    return np.array(out).reshape(rows, cols)


def vector(name, n, base):
    rnd = Random(seed_of(name))
    return np.array([float(np.float32(base) + np.float32(rnd.unit() / 4)) for _ in range(n)])


def frequencies(rope, n_rot):
    """Radians per position for each pair, and the factor on cosine and sine."""
    i = np.arange(n_rot // 2)
    freq = 10000.0 ** (-2.0 * i / n_rot)
    if rope == "factors":
        return freq / vector("rope_freqs.weight", n_rot // 2, 2), 1.0
    if rope == "linear":
        return freq / 4, 1.0
    if rope == "yarn":
        def pair(turns):
            return n_rot * np.log(64 / (turns * 2 * np.pi)) / (2 * np.log(10000.0))
        low, high = max(0, np.floor(pair(32))), min(n_rot - 1, np.ceil(pair(1)))
        keep = 1 - np.clip((i - low) / max(0.001, high - low), 0, 1)
        return freq / 4 * (1 - keep) + freq * keep, 1 + 0.1 * np.log(4)
    return freq, 1.0


def norm(x, w):
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + float(np.float32(1e-5))) * w


class Model:
    def __init__(self, spec):
        (_, kind, self.vocab, self.embd, self.layers, self.ff, self.heads, self.kv_heads, dim,
         rot, rope, tied, biases) = spec
        self.dim = dim or self.embd // self.heads
        self.rot = rot or self.dim
        self.freq, self.mscale = frequencies(rope, self.rot)
        self.emb = matrix("token_embd.weight", kind, self.embd, self.vocab)
        self.out = self.emb if tied else matrix("output.weight", kind, self.embd, self.vocab)
        self.out_norm = vector("output_norm.weight", self.embd, 1)
        q, kv = self.heads * self.dim, self.kv_heads * self.dim
        shapes = {"attn_q": (self.embd, q), "attn_k": (self.embd, kv), "attn_v": (self.embd, kv),
                  "attn_output": (q, self.embd), "ffn_gate": (self.embd, self.ff),
                  "ffn_up": (self.embd, self.ff), "ffn_down": (self.ff, self.embd)}
        self.w = []
        for layer in range(self.layers):
            name = f"blk.{layer}."
            w = {n: vector(name + n + ".weight", self.embd, 1) for n in ("attn_norm", "ffn_norm")}
            for part, (cols, rows) in shapes.items():
                bias = vector(name + part + ".bias", rows, 0) if biases else np.zeros(rows)
                w[part] = (matrix(name + part + ".weight", kind, cols, rows), bias)
            self.w.append(w)

    def rotate(self, x):
        """x: [token][head][dim]; neighbouring values form pairs."""
        angle = np.arange(x.shape[0])[:, None] * self.freq[None, :]
        c, s = np.cos(angle)[:, None] * self.mscale, np.sin(angle)[:, None] * self.mscale
        y = x.copy()
        a, b = x[..., 0:self.rot:2], x[..., 1:self.rot:2]
        y[..., 0:self.rot:2] = a * c - b * s
        y[..., 1:self.rot:2] = a * s + b * c
        return y

    def logits(self, tokens):
        n = len(tokens)
        x = self.emb[tokens]
        hidden = np.triu(np.full((n, n), -np.inf), 1)
        for w in self.w:
            h = norm(x, w["attn_norm"])
            q, k, v = ((h @ w[p][0].T + w[p][1]).reshape(n, -1, self.dim)
                       for p in ("attn_q", "attn_k", "attn_v"))
            q, k = self.rotate(q), self.rotate(k)
            mixed = np.zeros_like(q)
            for head in range(self.heads):
                g = head * self.kv_heads // self.heads
                scores = q[:, head] @ k[:, g].T / np.sqrt(self.dim) + hidden
                p = np.exp(scores - scores.max(axis=1, keepdims=True))
                mixed[:, head] = p / p.sum(axis=1, keepdims=True) @ v[:, g]
            x = x + mixed.reshape(n, -1) @ w["attn_output"][0].T + w["attn_output"][1]
            h = norm(x, w["ffn_norm"])
            gate = h @ w["ffn_gate"][0].T + w["ffn_gate"][1]
            up = h @ w["ffn_up"][0].T + w["ffn_up"][1]
            x = x + (gate / (1 + np.exp(-gate)) * up) @ w["ffn_down"][0].T + w["ffn_down"][1]
        return norm(x, self.out_norm)[-1] @ self.out.T


def main():
    lines = ["/* Made by tiny_expected.py: what the models of tiny.c answer. */", "",
             "#define EXPECTED_VOCAB_MAX 48", f"#define EXPECTED_GREEDY {GREEDY}", "",
             "static const int32_t expected_tokens[] = {" + ", ".join(map(str, TOKENS)) + "};", "",
             "struct expected {", "\tconst char *name;", "\tint32_t greedy[EXPECTED_GREEDY];",
             "\tfloat margin[EXPECTED_GREEDY]; /* first minus second before each greedy step */",
             "\tfloat logits[EXPECTED_VOCAB_MAX];", "};", "",
             "static const struct expected expected[] = {"]
    for spec in SPECS:
        model = Model(spec)
        tokens, greedy, margins = list(TOKENS), [], []
        first = model.logits(tokens)
        step = first
        for _ in range(GREEDY):
            order = np.argsort(-step)
            greedy.append(int(order[0]))
            margins.append(step[order[0]] - step[order[1]])
            tokens.append(greedy[-1])
            step = model.logits(tokens)
        print(f"{spec[0]:18} std {first.std():.3f} greedy {greedy}")
        lines.append(f'    {{"{spec[0]}",')
        lines.append("\t{" + ", ".join(map(str, greedy)) + "},")
        lines.append("\t{" + ", ".join(f"{m:.4g}f" if "." in f"{m:.4g}" or "e" in f"{m:.4g}"
                                       else f"{m:.4g}.0f" for m in margins) + "},")
        numbers = [f"{v:.7g}f" for v in first]
        rows = [", ".join(numbers[i:i + 8]) for i in range(0, len(numbers), 8)]
        lines.append("\t{" + ",\n\t ".join(rows) + "}},")
    lines.append("};")
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "tiny_expected.h"), "w") as f:
        f.write("/* clang-format off */\n" + "\n".join(lines) + "\n/* clang-format on */\n")


if __name__ == "__main__":
    main()
