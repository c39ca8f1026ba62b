// Writes a llama model with random weights that never ends its answer: only letters can win, the
// end-of-sequence row of the output matrix is zero. Slow enough to be interrupted, small enough to
// make on the spot. GGUF version 3, F32, SentencePiece vocabulary.
import { openSync, writeSync, closeSync } from 'node:fs'

const U32 = 4, I32 = 5, F32 = 6, BOOL = 7, STRING = 8, ARRAY = 9
const ALIGNMENT = 32

const u32 = (n) => { const b = Buffer.alloc(4); b.writeUInt32LE(n); return b }
const u64 = (n) => { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt(n)); return b }
const f32 = (x) => { const b = Buffer.alloc(4); b.writeFloatLE(x); return b }
const string = (s) => Buffer.concat([u64(Buffer.byteLength(s)), Buffer.from(s)])

const encode = {
    [U32]: u32, [I32]: u32, [F32]: f32, [STRING]: string,
    [BOOL]: (b) => Buffer.from([b ? 1 : 0])
}
const pair = (key, type, value) => Buffer.concat([string(key), u32(type), encode[type](value)])
const list = (key, type, values) => Buffer.concat([
    string(key), u32(ARRAY), u32(type), u64(values.length), ...values.map(encode[type])])

// Token ids: 0 unknown, 1 begin, 2 end, 3..258 bytes, then the space mark and letters.
function vocabulary() {
    const tokens = ['<unk>', '<s>', '</s>'], types = [2, 3, 3]
    for (let b = 0; b < 256; b++) {
        tokens.push(`<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`)
        types.push(6)
    }
    for (const c of '\u2581abcdefghijklmnopqrstuvwxyz') {
        tokens.push(c)
        types.push(1)
    }
    return { tokens, types, scores: tokens.map((_, i) => -i), firstLetter: 259 }
}

// A small deterministic generator (xorshift32), uniform in -1..1.
function generator(seed) {
    let x = seed >>> 0
    return () => {
        x ^= x << 13
        x >>>= 0
        x ^= x >>> 17
        x ^= x << 5
        x >>>= 0
        return x / 2 ** 31 - 1
    }
}

export function writeTinyModel(path, { name = 'tiny-endless', embd = 256, ff = 768, layers = 6,
    heads = 4, context = 8192, seed = 7, template, gap } = {}) {
    const vocab = vocabulary()
    const random = generator(seed)
    const matrix = (rows, columns) => {
        const scale = Math.sqrt(3 / columns)
        return Float32Array.from({ length: rows * columns }, () => random() * scale)
    }
    const tensors = []
    const add = (label, shape, data) => tensors.push({ label, shape, data })
    const output = matrix(vocab.tokens.length, embd)
    output.fill(0, 0, vocab.firstLetter * embd)

    add('token_embd.weight', [embd, vocab.tokens.length], matrix(vocab.tokens.length, embd))
    add('output_norm.weight', [embd], new Float32Array(embd).fill(1))
    add('output.weight', [embd, vocab.tokens.length], output)
    for (let i = 0; i < layers; i++) {
        const at = (part) => `blk.${i}.${part}.weight`
        add(at('attn_norm'), [embd], new Float32Array(embd).fill(1))
        for (const part of ['attn_q', 'attn_k', 'attn_v', 'attn_output']) {
            add(at(part), [embd, embd], matrix(embd, embd))
        }
        add(at('ffn_norm'), [embd], new Float32Array(embd).fill(1))
        add(at('ffn_gate'), [embd, ff], matrix(ff, embd))
        add(at('ffn_up'), [embd, ff], matrix(ff, embd))
        add(at('ffn_down'), [ff, embd], matrix(embd, ff))
    }

    const pairs = [
        pair('general.architecture', STRING, 'llama'),
        pair('general.name', STRING, name),
        pair('llama.context_length', U32, context),
        pair('llama.embedding_length', U32, embd),
        pair('llama.block_count', U32, layers),
        pair('llama.feed_forward_length', U32, ff),
        pair('llama.attention.head_count', U32, heads),
        pair('llama.attention.head_count_kv', U32, heads),
        pair('llama.attention.layer_norm_rms_epsilon', F32, 1e-5),
        pair('llama.rope.dimension_count', U32, embd / heads),
        pair('llama.vocab_size', U32, vocab.tokens.length),
        pair('tokenizer.ggml.model', STRING, 'llama'),
        list('tokenizer.ggml.tokens', STRING, vocab.tokens),
        list('tokenizer.ggml.scores', F32, vocab.scores),
        list('tokenizer.ggml.token_type', I32, vocab.types),
        pair('tokenizer.ggml.unknown_token_id', U32, 0),
        pair('tokenizer.ggml.bos_token_id', U32, 1),
        pair('tokenizer.ggml.eos_token_id', U32, 2),
        pair('tokenizer.ggml.add_bos_token', BOOL, true)
    ]
    // A chat template, and the ids of three tokens that frame a gap to be filled.
    if (template) pairs.push(pair('tokenizer.chat_template', STRING, template))
    gap?.forEach((id, i) =>
        pairs.push(pair(`tokenizer.ggml.fim_${['pre', 'suf', 'mid'][i]}_token_id`, U32, id)))
    write(path, pairs, tensors)
    return name
}

function write(path, pairs, tensors) {
    let offset = 0
    const infos = tensors.map(({ label, shape, data }) => {
        const info = Buffer.concat([string(label), u32(shape.length), ...shape.map(u64), u32(0),
            u64(offset)])
        offset += data.byteLength // every size here is a multiple of the alignment
        if (data.byteLength % ALIGNMENT) throw new Error(`${label} is not aligned`)
        return info
    })
    const head = Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(pairs.length),
        ...pairs, ...infos])
    const padding = Buffer.alloc((ALIGNMENT - head.length % ALIGNMENT) % ALIGNMENT)
    const file = openSync(path, 'w')
    writeSync(file, Buffer.concat([head, padding]))
    for (const { data } of tensors) writeSync(file, Buffer.from(data.buffer))
    closeSync(file)
}
