# SPDX-License-Identifier: MIT OR Apache-2.0
"""Trains the embedded model on two CPU cores; the same seed gives the same corpus and the same steps.

    python3 train.py --out DIR [--steps N] [--decay N] [--resume]

Writes DIR/last.pt (resumable) every 200 steps, DIR/final.pt at the end, and a line of progress every 20 steps.
Matrices are trained with Muon (momentum, orthogonalised by Newton-Schulz), the rest with Adam. The rate is
warmed up, held, then brought to zero over the last --decay steps. Only the answers are learnt; each answer
counts by the square root of its length, so that long texts do not drown the sums.
"""

import argparse
import os
import random
import time

import torch
import torch.nn.functional as F

import corpus
from model import CONTEXT, Model, encode

BATCH = 80
MICRO = 6
WARMUP = 60
MUON_RATE, ADAM_RATE = 0.02, 0.004
LONGEST = 400


def orthogonalise(matrix):
    """The nearest half-orthogonal matrix, by five Newton-Schulz steps (batched over dim 0)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.bfloat16()
    x = x / (x.float().flatten(1).norm(dim=1)[:, None, None].bfloat16() + 1e-7)
    wide = x.shape[1] <= x.shape[2]
    if not wide:
        x = x.transpose(1, 2)
    for _ in range(5):
        gram = torch.bmm(x, x.transpose(1, 2))
        x = a * x + torch.bmm(b * gram + c * torch.bmm(gram, gram), x)
    return (x if wide else x.transpose(1, 2)).float()


class Muon:
    """Momentum whose update is orthogonalised; matrices of one shape are handled together."""

    def __init__(self, parameters):
        self.groups = {}
        for parameter in parameters:
            self.groups.setdefault(tuple(parameter.shape), []).append(parameter)
        self.momentum = {shape: torch.zeros(len(group), *shape) for shape, group in self.groups.items()}

    def step(self, rate):
        for shape, group in self.groups.items():
            gradient = torch.stack([p.grad for p in group])
            momentum = self.momentum[shape]
            momentum.mul_(0.95).add_(gradient, alpha=0.05)
            update = orthogonalise(gradient.mul(0.05).add_(momentum, alpha=0.95))
            scale = rate * max(1.0, shape[0] / shape[1]) ** 0.5
            for index, parameter in enumerate(group):
                parameter.data.mul_(1 - rate * 0.05).add_(update[index], alpha=-scale)


def positions_of(rng, ids_length, head):
    """Places 0, 1, 2 …; now and then with a gap after the first turn, so that far distances are known."""
    places = list(range(ids_length))
    if rng.random() < 0.15:
        gap = int(rng.random() * (CONTEXT - ids_length - 160))
        places = [p if p < head else p + gap for p in places]
    return places


def batches(stream, rng):
    """Steps of BATCH conversations as MICRO padded tensors, grouped by length."""
    while True:
        items = []
        while len(items) < BATCH:
            turns = next(stream)
            ids, learn = encode(turns)
            if len(ids) <= LONGEST:
                head = len(encode(turns[:1])[0]) if len(turns) > 2 else 0
                items.append((ids, learn, positions_of(rng, len(ids), head)))
        items.sort(key=lambda item: len(item[0]))
        # Cuts at equal numbers of tokens, not of conversations.
        total, micro, sofar = sum(len(item[0]) for item in items), [[]], 0
        for item in items:
            if sofar > total * len(micro) / MICRO and len(micro) < MICRO:
                micro.append([])
            micro[-1].append(item)
            sofar += len(item[0])
        yield [collate(part) for part in micro]


def collate(items):
    width = max(len(ids) for ids, _, _ in items) - 1
    ids = torch.zeros(len(items), width, dtype=torch.long)
    target = torch.zeros(len(items), width, dtype=torch.long)
    weight = torch.zeros(len(items), width)
    places = torch.zeros(len(items), width, dtype=torch.long)
    for row, (tokens, learn, where) in enumerate(items):
        n = len(tokens) - 1
        ids[row, :n] = torch.tensor(tokens[:-1])
        target[row, :n] = torch.tensor(tokens[1:])
        places[row, :n] = torch.tensor(where[:-1])
        weight[row, :n] = torch.tensor(weights_of(learn)[1:])
    return ids, target, weight, places


def weights_of(learn):
    out, start = [0.0] * len(learn), None
    for index, flag in enumerate(learn + [0]):
        if flag and start is None:
            start = index
        elif not flag and start is not None:
            size = index - start
            out[start:index] = [size ** -0.5] * size
            start = None
    return out


def rate_at(step, steps, decay):
    if step < WARMUP:
        return (step + 1) / WARMUP
    if step >= steps - decay:
        return max(0.0, (steps - step) / decay)
    return 1.0


def train_step(model, parts, muon, adam, rate):
    total = sum(float(weight.sum()) for _, _, weight, _ in parts)
    loss_sum = 0.0
    for ids, target, weight, places in parts:
        chosen = weight > 0
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(ids, places, select=chosen)
        loss = (F.cross_entropy(logits.float(), target[chosen], reduction="none") * weight[chosen]).sum() / total
        loss.backward()
        loss_sum += float(loss)
    muon.step(MUON_RATE * rate)
    for group in adam.param_groups:
        group["lr"] = ADAM_RATE * rate
    adam.step()
    model.zero_grad(set_to_none=True)
    return loss_sum


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int, default=2600)
    parser.add_argument("--decay", type=int, default=900)
    parser.add_argument("--seed", type=int, default=31145)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    torch.manual_seed(args.seed)
    torch.set_num_threads(2)
    torch.set_flush_denormal(True)
    model = Model()
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and name != "token_embd.weight"]
    others = [p for name, p in model.named_parameters() if p.dim() == 1 or name == "token_embd.weight"]
    muon, adam = Muon(matrices), torch.optim.Adam(others, lr=ADAM_RATE, betas=(0.9, 0.95))
    step = 0
    last = os.path.join(args.out, "last.pt")
    if args.resume:
        state = torch.load(last)
        model.load_state_dict(state["model"])
        muon.momentum, step = state["muon"], state["step"]
        adam.load_state_dict(state["adam"])
    source = batches(corpus.stream(args.seed), random.Random(args.seed + 1))
    for _ in range(step):
        next(source)
    print("parameters %d, from step %d" % (sum(p.numel() for p in model.parameters()), step), flush=True)
    began, running = time.time(), None
    while step < args.steps:
        loss = train_step(model, next(source), muon, adam, rate_at(step, args.steps, args.decay))
        running = loss if running is None else 0.95 * running + 0.05 * loss
        step += 1
        if step % 20 == 0:
            print("step %d loss %.4f seconds %.0f" % (step, running, time.time() - began), flush=True)
        if step % 200 == 0:
            torch.save({"model": model.state_dict(), "muon": muon.momentum, "adam": adam.state_dict(), "step": step}, last + ".new")
            os.replace(last + ".new", last)
    torch.save(model.state_dict(), os.path.join(args.out, "final.pt"))


if __name__ == "__main__":
    main()
