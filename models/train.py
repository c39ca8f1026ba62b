# SPDX-License-Identifier: MIT OR Apache-2.0
"""Trains the embedded model on two CPU cores; the same seed gives the same corpus and the same steps.

    python3 train.py --out DIR [--seed N] [--resume]

Writes DIR/last.pt every 200 steps and at the end, what --resume needs beside it, and a line of progress every
20 steps. Matrices are trained with Muon (momentum, orthogonalised by Newton-Schulz), the rest with Adam; RATES is
the schedule of both. Two single-threaded processes each take half of a step's conversations and half of the
matrices: on a busy machine that waits far less than two threads do.

Only the answers are learnt; each counts by the square root of its length, so that long texts do not drown the
sums. Most long answers are cut short: their first tokens say which one it is, the rest is soon known by heart.
"""

import argparse
import os
import random
import time

import torch
import torch.multiprocessing as multiprocessing
import torch.nn.functional as F

import corpus
from model import CONTEXT, Model, encode

WORKERS = 2
# From this step on: conversations of a worker in a step, in so many parts.
BATCHES = ((0, 16, 2), (2200, 32, 3))
RATES = ((0, 0.0), (40, 1.0), (5000, 1.0), (15000, 0.0))
STEPS = RATES[-1][0]
MUON_RATE, ADAM_RATE = 0.02, 0.004
USUAL, LONGEST = 120, 320  # tokens of a conversation; few are longer than usual, for attention's cost


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


def shorten(rng, ids, learn):
    """Cuts a long last answer after a dozen or two tokens, most of the time."""
    if rng.random() < 0.3:
        return ids, learn
    end = len(ids) - 1
    start = end
    while start > 0 and learn[start - 1]:
        start -= 1
    cut = start + 14 + int(rng.random() * 12)
    return (ids[:cut], learn[:cut]) if learn[start] and cut + 8 < end else (ids, learn)


def batches(stream, rng):
    """Steps of conversations as padded tensors, grouped by length."""
    step = 0
    while True:
        _, size, parts = [entry for entry in BATCHES if entry[0] <= step][-1]
        step += 1
        items = []
        while len(items) < size:
            turns = next(stream)
            ids, learn = shorten(rng, *encode(turns))
            if len(ids) <= USUAL or len(ids) <= LONGEST and rng.random() < 0.12:
                head = len(encode(turns[:1])[0]) if len(turns) > 2 else 0
                items.append((ids, learn, positions_of(rng, len(ids), head)))
        items.sort(key=lambda item: len(item[0]))
        # Cuts at equal numbers of tokens, not of conversations.
        total, micro, sofar = sum(len(item[0]) for item in items), [[]], 0
        for item in items:
            if sofar > total * len(micro) / parts and len(micro) < parts:
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


def rate_at(step):
    """The share of the full rates: straight lines between the knots."""
    for (left, low), (right, high) in zip(RATES, RATES[1:]):
        if step < right:
            return low + (high - low) * (step + 1 - left) / (right - left)
    return 0.0


def gradients(model, parts):
    """Adds the gradient of one worker's share; returns its loss."""
    total = sum(float(weight.sum()) for _, _, weight, _ in parts)
    loss_sum = 0.0
    for ids, target, weight, places in parts:
        chosen = weight > 0
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(ids, places, select=chosen)
        loss = (F.cross_entropy(logits.float(), target[chosen], reduction="none") * weight[chosen]).sum() / total
        loss.backward()
        loss_sum += float(loss)
    return loss_sum


class Worker:
    """One process: computes gradients on its own stream, updates its own half of the shared weights."""

    def __init__(self, rank, args, model, shared, barrier):
        self.rank, self.args, self.model, self.shared, self.barrier = rank, args, model, shared, barrier
        self.parameters = list(model.parameters())
        names = [name for name, _ in model.named_parameters()]
        matrices = [p for name, p in zip(names, self.parameters) if p.dim() == 2 and name !=
            "token_embd.weight"]
        # The same shapes come round in every block, so taking turns is fair.
        self.mine = matrices[rank::WORKERS]
        self.rest = [p for p in self.parameters if not any(p is m for m in matrices)] if rank == 0 else []
        self.muon = Muon(self.mine)
        self.adam = torch.optim.Adam(self.rest, lr=ADAM_RATE, betas=(0.9, 0.95)) if self.rest else None

    def state_path(self):
        return os.path.join(self.args.out, "worker%d.pt" % self.rank)

    def save(self, step):
        state = {"muon": self.muon.momentum, "adam": self.adam.state_dict() if self.adam else None, "step":
            step}
        torch.save(state, self.state_path())
        if self.rank == 0:
            last = os.path.join(self.args.out, "last.pt")
            torch.save({"model": self.model.state_dict(), "step": step}, last + ".new")
            os.replace(last + ".new", last)

    def restore(self):
        state = torch.load(self.state_path())
        self.muon.momentum = state["muon"]
        if self.adam:
            self.adam.load_state_dict(state["adam"])
        return state["step"]

    def step(self, parts, rate):
        loss = gradients(self.model, parts)
        flat = self.shared["gradients"][self.rank]
        flat[:-1] = torch.cat([p.grad.reshape(-1) for p in self.parameters])
        flat[-1] = loss
        self.barrier.wait()
        mean = self.shared["gradients"].mean(0)
        at = 0
        for parameter in self.parameters:
            parameter.grad = mean[at:at + parameter.numel()].view_as(parameter)
            at += parameter.numel()
        self.muon.step(MUON_RATE * rate)
        if self.adam:
            for group in self.adam.param_groups:
                group["lr"] = ADAM_RATE * rate
            self.adam.step()
        self.model.zero_grad(set_to_none=True)
        loss = float(mean[-1])
        self.barrier.wait()
        return loss


def work(rank, args, model, shared, barrier):
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    worker = Worker(rank, args, model, shared, barrier)
    step = worker.restore() if args.resume else 0
    seed = args.seed + 2 * rank
    source = batches(corpus.stream(seed), random.Random(seed + 1))
    for _ in range(step):
        next(source)
    began, running = time.time(), None
    while step < STEPS:
        loss = worker.step(next(source), rate_at(step))
        running = loss if running is None else 0.95 * running + 0.05 * loss
        step += 1
        if rank == 0 and step % 20 == 0:
            print("step %d loss %.4f seconds %.0f" % (step, running, time.time() - began), flush=True)
        if step % 200 == 0 or step == STEPS:
            worker.save(step)
            barrier.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--seed", type=int, default=31145)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    torch.manual_seed(args.seed)
    model = Model()
    if args.resume:
        model.load_state_dict(torch.load(os.path.join(args.out, "last.pt"))["model"])
    model.share_memory()
    count = sum(p.numel() for p in model.parameters())
    shared = {"gradients": torch.zeros(WORKERS, count + 1).share_memory_()}
    print("%d parameters" % count, flush=True)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(WORKERS)
    multiprocessing.spawn(work, args=(args, model, shared, barrier), nprocs=WORKERS)


if __name__ == "__main__":
    main()
